/* stdlib.h: what sketches ask of it, for a compiler that brings no libc. */

#ifndef STDLIB_H
#define STDLIB_H

#ifdef __cplusplus
extern "C" {
#endif

float strtof(const char *text, char **end);

#ifdef __cplusplus
}
#endif

#endif
