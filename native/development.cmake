# SPDX-License-Identifier: Apache-2.0
# How developers build the core and the native plugins; a checkout has it, a plugin's source distribution does not.
# Include it after project() and before the first target.
if(PROJECT_IS_TOP_LEVEL AND NOT SKBUILD)
  set(AICORE_DEVELOPER_DEFAULT ON)
endif()
option(AICORE_DEVELOPER "all warnings, as errors; a user's build shows none" "${AICORE_DEVELOPER_DEFAULT}")
option(AICORE_TESTS "test programs (GoogleTest)" "${AICORE_DEVELOPER_DEFAULT}")
option(AICORE_SANITIZE "AddressSanitizer and UndefinedBehaviorSanitizer; by clang the libFuzzer programs, too" OFF)
option(AICORE_TSAN "ThreadSanitizer" OFF)

if(AICORE_DEVELOPER)
  add_compile_options(-Wall -Wextra -Wpedantic -Wshadow -Werror)
  # Builds with the same options share what they compile: the native tests and the modules of several Pythons.
  if(NOT CMAKE_CXX_COMPILER_LAUNCHER)
    find_program(AICORE_CCACHE ccache)
    if(AICORE_CCACHE)
      cmake_path(GET CMAKE_CURRENT_LIST_DIR PARENT_PATH AICORE_TOP)
      set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND}" -E env "CCACHE_BASEDIR=${AICORE_TOP}" CCACHE_NOHASHDIR=1
          CCACHE_DEPEND=1 "${AICORE_CCACHE}")
    endif()
  endif()
endif()

if(AICORE_SANITIZE)
  if(CMAKE_CXX_COMPILER_ID STREQUAL Clang)
    set(AICORE_FUZZ ON)
    add_compile_options(-fsanitize=fuzzer-no-link)
  endif()
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
elseif(AICORE_TSAN)
  add_compile_options(-fsanitize=thread)
  add_link_options(-fsanitize=thread)
endif()

# A program of tests. Their own code runs once: unoptimised and with GTest's headers compiled once, it takes a quarter of
# the time to compile (10 s of CPU became 2.5 for lifecycle_test.cpp).
function(aicore_test name)
  add_executable(${name} ${ARGN})
  target_compile_options(${name} PRIVATE -O0 -Wno-shadow) # INSTANTIATE_TEST_SUITE_P has an `info` of its own
  target_precompile_headers(${name} PRIVATE <gtest/gtest.h> <algorithm> <functional> <map> <memory> <string>
                                            <unordered_map> <vector>)
  if(AICORE_FUZZ)
    target_compile_options(${name} PRIVATE -fno-sanitize=fuzzer-no-link)
  endif()
  target_link_libraries(${name} PRIVATE GTest::gtest_main)
endfunction()

# A libFuzzer program, where AICORE_FUZZ. Coverage is that of the code under test: instrumented checks of the harness
# took most of the time.
set(AICORE_FUZZ_DIR "${CMAKE_CURRENT_LIST_DIR}/fuzz")
function(aicore_fuzz name)
  add_executable(${name} ${ARGN})
  target_compile_options(${name} PRIVATE -fno-sanitize=fuzzer-no-link)
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
endfunction()
