// The model as a C array. Made by edgesearch.
#ifndef EDGESEARCH_MODEL_DATA_H_
#define EDGESEARCH_MODEL_DATA_H_

// $model_bytes bytes, sha256 $sha256
extern const unsigned char g_model_data[];
extern const unsigned int g_model_data_length;

#endif  // EDGESEARCH_MODEL_DATA_H_
