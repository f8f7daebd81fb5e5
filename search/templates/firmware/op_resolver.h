// The operators of the model, and no others. Made by edgesearch.
#ifndef EDGESEARCH_OP_RESOLVER_H_
#define EDGESEARCH_OP_RESOLVER_H_

#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"

constexpr unsigned int kOpCount = $op_count;
using ModelOpResolver = tflite::MicroMutableOpResolver<kOpCount>;

inline TfLiteStatus AddModelOps(ModelOpResolver& resolver) {
$add_ops
  return kTfLiteOk;
}

#endif  // EDGESEARCH_OP_RESOLVER_H_
