/* main.c: a device as a process of this machine: frames on stdin and stdout, until stdin ends. */

#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "fleet_device.h"

#ifndef HOST_ARENA
#define HOST_ARENA (248 * 1024)
#endif
#ifndef HOST_FRAME
#define HOST_FRAME 1040
#endif

static size_t read_stdin(uint8_t *bytes, size_t most) {
    for (;;) {
        const ssize_t count = read(STDIN_FILENO, bytes, most);
        if (count > 0) return (size_t)count;
        if (count == 0) exit(EXIT_SUCCESS);
        if (errno != EINTR) exit(EXIT_FAILURE);
    }
}

static void write_stdout(const uint8_t *bytes, size_t count) {
    if (fwrite(bytes, 1, count, stdout) != count) exit(EXIT_FAILURE);
    if (!bytes[count - 1]) fflush(stdout); /* a zero ends a frame */
}

/* A ramp for each reading, so that a test knows what was sensed. */
static int sense_ramp(float *sample, int32_t inputs, float *target, int32_t outputs) {
    static int32_t reading;
    for (int32_t i = 0; i < inputs; i++) sample[i] = (float)((reading + i) % 8) / 8.0f;
    for (int32_t i = 0; i < outputs; i++) target[i] = (float)((reading + i) % 2);
    reading++;
    return 1;
}

static uint32_t microseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)now.tv_sec * 1000000 + (uint32_t)now.tv_nsec / 1000;
}

static struct fleet_memory_use unknown(void) { return (struct fleet_memory_use){0, 0}; }

static const char *const sensors[] = {"ramp", NULL};

static const struct fleet_port port = {
    .board = "host",
    .sensors = sensors,
    .ram = 256 * 1024,
    .flash = 1024 * 1024,
    .read = read_stdin,
    .write = write_stdout,
    .sense = sense_ramp,
    .cycles = microseconds,
    .memory_use = unknown,
};

int main(void) {
    static uint8_t frame[HOST_FRAME];
    static double arena[HOST_ARENA / sizeof(double)];
    static struct fleet_device device;
    const struct fleet_buffers buffers = {frame, sizeof frame, arena, sizeof arena};
    fleet_device_start(&device, &port, buffers, microseconds() ^ (uint32_t)getpid() << 16);
    for (;;) fleet_device_poll(&device);
}
