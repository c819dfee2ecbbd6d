/* As much of TensorFlow Lite Micro as generated sketches call, declared as its headers have it; no bodies. */

#ifndef CHIRALE_TENSORFLOW_LITE_H
#define CHIRALE_TENSORFLOW_LITE_H

#include <stddef.h>
#include <stdint.h>

enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 };

struct TfLiteQuantizationParams {
  float scale;
  int32_t zero_point;
};

union TfLitePtrUnion {
  int32_t *i32;
  float *f;
  uint8_t *uint8;
  int16_t *i16;
  int8_t *int8;
};

struct TfLiteTensor {
  TfLitePtrUnion data;
  TfLiteQuantizationParams params;
};

#define TFLITE_SCHEMA_VERSION 3

namespace tflite {

class MicroOpResolver {};

template <unsigned int count>
class MicroMutableOpResolver : public MicroOpResolver {
 public:
#define OPERATOR(name) TfLiteStatus Add##name();
#include "operators.inc"
#undef OPERATOR
};

struct Model {
  uint32_t version() const;
};

const Model *GetModel(const void *content);

class MicroInterpreter {
 public:
  MicroInterpreter(const Model *model, const MicroOpResolver &resolver, uint8_t *arena, size_t size);
  TfLiteStatus AllocateTensors();
  TfLiteStatus Invoke();
  TfLiteTensor *input(size_t index);
  TfLiteTensor *output(size_t index);
};

}  // namespace tflite

#endif
