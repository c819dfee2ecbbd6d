/* fleet_version.h: the firmware's version; library.properties, library.json and HELLO all say it. */

#ifndef FLEET_VERSION_H
#define FLEET_VERSION_H

#define FLEET_VERSION_MAJOR 0
#define FLEET_VERSION_MINOR 1
#define FLEET_VERSION_PATCH 0

#endif
