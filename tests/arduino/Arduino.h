/* Arduino.h: as much of an Arduino board as generated sketches see, over the port of an emulated board.
 *
 * An analog pin reads as its number and a counter say, so that a test knows what was read. Numbers are printed
 * as the bits of their float32, so that a test can compare them. */

#ifndef ARDUINO_H
#define ARDUINO_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { A0 = 14, A1, A2, A3, A4, A5 };

extern "C" {
int analogRead(int pin);
void analogReadResolution(int bits);
void delay(unsigned long milliseconds);
unsigned long millis();
unsigned long micros();
}

struct Line {
  void begin(unsigned long baud);
  int available();
  int read();
  size_t write(const uint8_t *bytes, size_t count);
  size_t print(const char *text);
  size_t print(float number, int digits);
  size_t println(const char *text);
};

extern Line Serial;

#endif
