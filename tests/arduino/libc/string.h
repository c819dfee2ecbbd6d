/* string.h: what sketches ask of it, for a compiler that brings no libc. */

#ifndef STRING_H
#define STRING_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

void *memcpy(void *to, const void *from, size_t count);
void *memset(void *to, int value, size_t count);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t most);
size_t strlen(const char *text);

#ifdef __cplusplus
}
#endif

#endif
