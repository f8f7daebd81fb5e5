#include "preprocess.h"

#define RAW_IS_FLOAT $raw_is_float
#define NORMALISES $normalises
#define CLIPS $clips
#define QUANTIZES $quantizes

#if RAW_IS_FLOAT
/* By its bits, for compilers may take comparisons with NaN to be idle. */
static int is_finite(float value) {
  union {
    float value;
    uint32_t bits;
  } seen;
  seen.value = value;
  return (seen.bits & UINT32_C(0x7f800000)) != UINT32_C(0x7f800000);
}
#endif

#if NORMALISES
static const float kOffset[MODEL_COLUMNS] = {
$offset
};
static const float kScale[MODEL_COLUMNS] = {
$scale
};
#endif

#if QUANTIZES
static const float kStep = $step;
enum { ZERO_POINT = $zero_point, LOWEST = $lowest, HIGHEST = $highest, BEYOND = 131072 };

/* Nearest step, halves to the even one; no libm and no rounding mode needed. */
static model_input_t quantized(float value) {
  float steps = value / kStep;
  int32_t whole;
  float rest;
  if (steps > (float)BEYOND) steps = (float)BEYOND;
  if (steps < -(float)BEYOND) steps = -(float)BEYOND;
  whole = (int32_t)steps;
  rest = steps - (float)whole;
  if (rest > 0.5f || (rest == 0.5f && whole % 2 != 0)) whole += 1;
  if (rest < -0.5f || (rest == -0.5f && whole % 2 != 0)) whole -= 1;
  whole += ZERO_POINT;
  if (whole < LOWEST) whole = LOWEST;
  if (whole > HIGHEST) whole = HIGHEST;
  return (model_input_t)whole;
}
#endif

int model_preprocess(const model_raw_t *raw, model_input_t *input) {
  int32_t i;
  for (i = 0; i < MODEL_INPUT_LENGTH; ++i) {
    float value = (float)raw[i];
#if RAW_IS_FLOAT
    if (!is_finite(value)) return (int)(i + 1);
#endif
#if NORMALISES
    value = (value - kOffset[i % MODEL_COLUMNS]) * kScale[i % MODEL_COLUMNS];
#endif
#if CLIPS
    if (value > $clip) value = $clip;
    if (value < -$clip) value = -$clip;
#endif
#if QUANTIZES
    input[i] = quantized(value);
#else
    input[i] = (model_input_t)value;
#endif
  }
  return 0;
}
$column_definitions
