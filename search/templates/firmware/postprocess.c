#include "postprocess.h"

void model_scores(const model_output_t *output, float *scores) {
  int32_t i;
  for (i = 0; i < MODEL_OUTPUT_LENGTH; ++i) scores[i] = $dequantized;
}

int model_argmax(const float *scores) {
  int32_t best = 0, i;
  for (i = 1; i < MODEL_OUTPUT_LENGTH; ++i) {
    if (scores[i] > scores[best]) best = i;
  }
  return (int)best;
}
