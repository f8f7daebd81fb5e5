#include "model_data.h"

alignas(16) const unsigned char g_model_data[] = {
$model_data
};
const unsigned int g_model_data_length = $model_bytes;

static_assert(sizeof(g_model_data) == $model_bytes, "the model is stored whole");
