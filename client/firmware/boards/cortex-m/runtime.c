/* runtime.c: what compilers call for copies of structs, by their own names and by the ARM EABI's. The
 * stores are volatile, lest the compiler find a copy here too and call itself; `used`, because it comes to
 * call them only after it has looked for what is used. */

#include <stddef.h>
#include <stdint.h>

#define CALLED __attribute__((used))
#define CALLED_AS(name) __attribute__((used, alias(name)))

CALLED void *memcpy(void *to, const void *from, size_t count);
CALLED void *memset(void *to, int value, size_t count);
CALLED void __aeabi_memset(void *to, size_t count, int value);
CALLED void __aeabi_memclr(void *to, size_t count);

void *memcpy(void *to, const void *from, size_t count) {
    volatile uint8_t *out = to;
    const uint8_t *in = from;
    while (count--) *out++ = *in++;
    return to;
}

void *memset(void *to, int value, size_t count) {
    volatile uint8_t *out = to;
    while (count--) *out++ = (uint8_t)value;
    return to;
}

void __aeabi_memset(void *to, size_t count, int value) { memset(to, value, count); }

void __aeabi_memclr(void *to, size_t count) { memset(to, 0, count); }

CALLED_AS("memcpy") void *__aeabi_memcpy(void *, const void *, size_t);
CALLED_AS("memcpy") void *__aeabi_memcpy4(void *, const void *, size_t);
CALLED_AS("memcpy") void *__aeabi_memcpy8(void *, const void *, size_t);
CALLED_AS("__aeabi_memset") void __aeabi_memset4(void *, size_t, int);
CALLED_AS("__aeabi_memset") void __aeabi_memset8(void *, size_t, int);
CALLED_AS("__aeabi_memclr") void __aeabi_memclr4(void *, size_t);
CALLED_AS("__aeabi_memclr") void __aeabi_memclr8(void *, size_t);
