"""What a microcontroller's firmware is built from: a model as C and C++ for TensorFlow Lite Micro."""
