// Runs the model on samples of its test set and compares with what it gave on the host. Made by edgesearch.
//
// The same steps make an application: AddModelOps, MicroInterpreter, AllocateTensors once; then, for each
// sample, model_preprocess, Invoke, model_scores, model_argmax.

#include <cstdint>

#include "arena_bytes.h"
#include "labels.h"
#include "model_data.h"
#include "op_resolver.h"
#include "postprocess.h"
#include "preprocess.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_log.h"
#include "tensorflow/lite/micro/system_setup.h"
#include "tensorflow/lite/schema/schema_generated.h"
#include "test_vectors.h"

#ifdef ARDUINO
#include <Arduino.h>
#endif

namespace {

constexpr unsigned int kSchemaVersion = 3;

alignas(16) std::uint8_t g_arena[kArenaBytes];

// How many values of the input differ from those that the host made of the same raw sample.
int InputDifferences(int vector, const model_input_t* input) {
  int differences = 0;
  for (int i = 0; i < MODEL_INPUT_LENGTH; ++i) {
    if (input[i] != TEST_INPUT(vector, i)) ++differences;
  }
  return differences;
}

// How many values of the output differ by more than `tolerance` from what the host got; NaN always does.
int OutputDifferences(int vector, const model_output_t* output, float tolerance) {
  int differences = 0;
  for (int i = 0; i < MODEL_OUTPUT_LENGTH; ++i) {
    const float off = static_cast<float>(output[i]) - static_cast<float>(kTestOutput[vector][i]);
    if (!(off <= tolerance && -off <= tolerance)) ++differences;
  }
  return differences;
}

void Tell(int vector, const model_output_t* output, int differing, int failing) {
  const char* verdict = failing != 0 ? "DIFFERS" : differing != 0 ? "fits" : "identical";
#if MODEL_LABELS
  static float scores[MODEL_OUTPUT_LENGTH];
  model_scores(output, scores);
  MicroPrintf("vector %d: %s (%d of %d values differ): %s", vector, verdict, differing, MODEL_OUTPUT_LENGTH,
              model_labels[model_argmax(scores)]);
#else
  (void)output;
  MicroPrintf("vector %d: %s (%d of %d values differ)", vector, verdict, differing, MODEL_OUTPUT_LENGTH);
#endif
}

// Returns whether the model gives what it gave on the host.
bool Passes(tflite::MicroInterpreter& interpreter, int vector) {
  model_input_t* input = interpreter.typed_input_tensor<model_input_t>(0);
  if (input == nullptr || model_preprocess(kTestRaw[vector], input) != 0) {
    MicroPrintf("vector %d: the input cannot be prepared", vector);
    return false;
  }
  if (const int wrong = InputDifferences(vector, input)) {
    MicroPrintf("vector %d: %d values of the input DIFFER from the host's", vector, wrong);
    return false;
  }
  if (interpreter.Invoke() != kTfLiteOk) {
    MicroPrintf("vector %d: the model cannot be run", vector);
    return false;
  }
  const model_output_t* output = interpreter.typed_output_tensor<model_output_t>(0);
  if (output == nullptr) {
    MicroPrintf("vector %d: the output is of another type", vector);
    return false;
  }
  const int failing = OutputDifferences(vector, output, TEST_TOLERANCE);
  Tell(vector, output, OutputDifferences(vector, output, 0.0f), failing);
  return failing == 0;
}

// Returns how many vectors failed; all of them where the model cannot be loaded.
int SelfTest() {
  const tflite::Model* model = tflite::GetModel(g_model_data);
  if (model->version() != kSchemaVersion) {
    MicroPrintf("the model has schema %d, but %d is needed", static_cast<int>(model->version()),
                static_cast<int>(kSchemaVersion));
    return TEST_VECTORS;
  }
  static ModelOpResolver resolver;
  if (AddModelOps(resolver) != kTfLiteOk) {
    MicroPrintf("the operators cannot be registered");
    return TEST_VECTORS;
  }
  static tflite::MicroInterpreter interpreter(model, resolver, g_arena, kArenaBytes);
  if (interpreter.AllocateTensors() != kTfLiteOk) {
    MicroPrintf("an arena of %d bytes does not do: raise kScratchBytes in arena_bytes.h",
                static_cast<int>(kArenaBytes));
    return TEST_VECTORS;
  }
  MicroPrintf("arena: %d of %d bytes in use", static_cast<int>(interpreter.arena_used_bytes()),
              static_cast<int>(kArenaBytes));
  int failed = 0;
  for (int vector = 0; vector < TEST_VECTORS; ++vector) {
    if (!Passes(interpreter, vector)) ++failed;
  }
  return failed;
}

int Run() {
  tflite::InitializeTarget();
  const int failed = SelfTest();
  if (failed == 0) {
    MicroPrintf("self-test passed: %d of %d", TEST_VECTORS, TEST_VECTORS);
  } else {
    MicroPrintf("self-test FAILED: %d of %d", failed, TEST_VECTORS);
  }
  return failed;
}

}  // namespace

#if defined(ARDUINO)
void setup() {
  Serial.begin(115200);
  Run();
}
void loop() {}
#elif defined(ESP_PLATFORM)
extern "C" void app_main(void) { Run(); }
#else
int main() { return Run() == 0 ? 0 : 1; }
#endif
