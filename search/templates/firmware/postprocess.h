/* From the output of the model to scores and the likeliest class. Plain C99. Made by edgesearch. */
#ifndef EDGESEARCH_POSTPROCESS_H_
#define EDGESEARCH_POSTPROCESS_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef $output_type model_output_t;

#define MODEL_OUTPUT_LENGTH $output_length

/* Both arrays have MODEL_OUTPUT_LENGTH values. The scores are $scores. */
void model_scores(const model_output_t *output, float *scores);

/* The place of the highest score, from 0: the first of equals. */
int model_argmax(const float *scores);

#ifdef __cplusplus
}
#endif

#endif /* EDGESEARCH_POSTPROCESS_H_ */
