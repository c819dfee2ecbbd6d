// Learn.ino: a board that its gateway reaches over USB. It learns to tell the voltage at A1 from the one
// at A0, in place: `kind = "serial"` in gateway.toml, and a network of one input and one output.

#include <fleet_device.h>

static uint8_t frame[512];
static uint64_t arena[1536];  // 12 KB; `tinyfleet client check` says what a network needs
static struct fleet_device device;

static size_t readSerial(uint8_t *bytes, size_t most) {
  size_t count = 0;
  while (count < most && Serial.available() > 0) bytes[count++] = (uint8_t)Serial.read();
  return count;
}

static void writeSerial(const uint8_t *bytes, size_t count) { Serial.write(bytes, count); }

static int sense(float *sample, int32_t inputs, float *target, int32_t outputs) {
  if (inputs != 1 || outputs != 1) return 0;
  delay(10);
  sample[0] = analogRead(A0) / 1023.0f;
  target[0] = analogRead(A1) / 1023.0f;
  return 1;
}

static uint32_t clockMicros(void) { return micros(); }

static struct fleet_memory_use memoryUse(void) { return fleet_memory_use{0, 0}; }

static const char *const sensors[] = {"voltage", nullptr};

static const struct fleet_port port = {
    "arduino", sensors, 256 * 1024, 1024 * 1024, readSerial, writeSerial, sense, clockMicros, memoryUse};

void setup() {
  Serial.begin(115200);
  const struct fleet_buffers buffers = {frame, sizeof frame, arena, sizeof arena};
  fleet_device_start(&device, &port, buffers, (uint32_t)analogRead(A2) << 20 ^ micros());
}

void loop() { fleet_device_poll(&device); }
