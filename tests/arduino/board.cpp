/* board.cpp: setup() and loop() on an emulated Cortex-M4, with what a sketch asks of its board and of libc. */

#include "Arduino.h"

extern "C" {
#include "cortex_m.h"

extern uint8_t fleet_data_start[], fleet_data_end[], fleet_data_source[];
extern uint8_t fleet_bss_start[], fleet_bss_end[];
void reset_handler(void);
}

void setup();
void loop();

enum { STACK_WORDS = 1024 };

__attribute__((section(".bss.stack"), used)) static uint64_t stack[STACK_WORDS];

/* What the port brought in before this turn of loop(). */
static uint8_t ahead[64];
static size_t count = 0, taken = 0;

static void fault() {
  board_fault();
  for (;;) {
  }
}

static void nothing() {}

struct Vectors {
  uint64_t *stack;
  void (*handlers[15])();
};

extern "C" __attribute__((section(".vectors"), used)) const Vectors vectors = {
    stack + STACK_WORDS,
    {reset_handler, fault, fault, fault, fault, fault, fault, fault, fault, fault, nothing, nothing, nothing,
     nothing, nothing}};

extern "C" __attribute__((noreturn)) void reset_handler(void) {
  REGISTER(0xe000ed88) |= 0xfu << 20; /* the FPU */
  __asm__ volatile("dsb\n\tisb" ::: "memory");
  memcpy(fleet_data_start, fleet_data_source, (size_t)(fleet_data_end - fleet_data_start));
  memset(fleet_bss_start, 0, (size_t)(fleet_bss_end - fleet_bss_start));
  board_start();
  setup();
  for (;;) {
    fleet_idle(); /* an emulated board stands still while nothing comes in */
    taken = 0;
    count = board_port.read(ahead, sizeof ahead);
    loop();
  }
}

struct fleet_memory_use cortex_m_memory_use(void) { return fleet_memory_use{0, 0}; }

Line Serial;

void Line::begin(unsigned long) {}

int Line::available() { return (int)(count - taken); }

int Line::read() { return taken < count ? ahead[taken++] : -1; }

size_t Line::write(const uint8_t *bytes, size_t length) {
  board_port.write(bytes, length);
  return length;
}

size_t Line::print(const char *text) { return write((const uint8_t *)text, strlen(text)); }

size_t Line::print(float number, int) {
  uint32_t bits;
  memcpy(&bits, &number, sizeof bits);
  char text[9] = {0};
  for (int i = 0; i < 8; i++) text[i] = "0123456789abcdef"[bits >> (28 - 4 * i) & 15];
  return print(text);
}

size_t Line::println(const char *text) { return print(text) + print("\r\n"); }

extern "C" {
int analogRead(int pin) {
  static int reading = 0;
  return (reading++ * 977 + (pin - A0) * 131) % 4096;
}

void analogReadResolution(int) {}
void delay(unsigned long) {}

unsigned long millis() {
  static unsigned long now = 0;
  return now += 1000;
}

unsigned long micros() { return millis() * 1000; }

int strcmp(const char *a, const char *b) {
  while (*a && *a == *b) a++, b++;
  return (uint8_t)*a - (uint8_t)*b;
}

int strncmp(const char *a, const char *b, size_t most) {
  for (; most && *a && *a == *b; most--) a++, b++;
  return most ? (uint8_t)*a - (uint8_t)*b : 0;
}

size_t strlen(const char *text) {
  size_t length = 0;
  while (text[length]) length++;
  return length;
}

/* Digits and a point, which is what tests send. */
float strtof(const char *text, char **end) {
  while (*text == ' ') text++;
  const char *const start = text;
  float sign = 1.0f, value = 0.0f, unit = 1.0f;
  if (*text == '-') sign = -1.0f, text++;
  for (; *text >= '0' && *text <= '9'; text++) value = value * 10.0f + (float)(*text - '0');
  if (*text == '.')
    for (text++; *text >= '0' && *text <= '9'; text++) value += (float)(*text - '0') * (unit /= 10.0f);
  if (end) *end = (char *)(text == start ? start : text);
  return sign * value;
}
}
