/* Samples of the test set, and what the model gives for them on the host. Made by edgesearch.
 *
 * By $runtime with its reference kernels. */
#ifndef EDGESEARCH_TEST_VECTORS_H_
#define EDGESEARCH_TEST_VECTORS_H_

#include "postprocess.h"
#include "preprocess.h"

#define TEST_VECTORS $vector_count

/* By so much may an output differ from the host's: kernels made for a processor may round otherwise. */
#define TEST_TOLERANCE $tolerance

static const model_raw_t kTestRaw[TEST_VECTORS][MODEL_INPUT_LENGTH] = {
$test_raw
};

#define TEST_HAS_INPUTS $has_inputs
#if TEST_HAS_INPUTS
static const model_input_t kTestInput[TEST_VECTORS][MODEL_INPUT_LENGTH] = {
$test_inputs
};
#define TEST_INPUT(vector, place) (kTestInput[vector][place])
#else /* the model takes the raw values, as numbers of its own type */
#define TEST_INPUT(vector, place) ((model_input_t)kTestRaw[vector][place])
#endif

static const model_output_t kTestOutput[TEST_VECTORS][MODEL_OUTPUT_LENGTH] = {
$test_outputs
};

#endif /* EDGESEARCH_TEST_VECTORS_H_ */
