// The kernels against a slow reference, with doctest: python tools/native/kernel_tests.py, or the target kernel_tests of CMakeLists.txt.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
