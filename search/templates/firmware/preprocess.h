/* From a raw sample, as the sensors give it, to the input of the model. Plain C99. Made by edgesearch. */
#ifndef EDGESEARCH_PREPROCESS_H_
#define EDGESEARCH_PREPROCESS_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef $raw_type model_raw_t;
typedef $input_type model_input_t;

/* A sample has the shape $shape; its last axis, the quickest, has the columns or channels. */
#define MODEL_INPUT_LENGTH $input_length
#define MODEL_COLUMNS $columns

/* $preprocessing
 *
 * Returns 0, or the place, counted from 1, of the first value that is NaN or infinite: then `input` is
 * not to be used. Both arrays have MODEL_INPUT_LENGTH values. Not to be compiled with -ffast-math. */
int model_preprocess(const model_raw_t *raw, model_input_t *input);
$column_declarations
#ifdef __cplusplus
}
#endif

#endif /* EDGESEARCH_PREPROCESS_H_ */
