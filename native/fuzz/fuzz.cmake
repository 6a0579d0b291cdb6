# SPDX-License-Identifier: Apache-2.0
# For the core and the plugins: with AICORE_FUZZ (clang) a harness becomes a libFuzzer program under AddressSanitizer and
# UndefinedBehaviorSanitizer, else a program that replays inputs, for the tests. To be included before the first target.
option(AICORE_FUZZ "libFuzzer programs (clang)" OFF)
if(AICORE_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES Clang)
    message(FATAL_ERROR "AICORE_FUZZ needs -DCMAKE_CXX_COMPILER=clang++ (Debian: clang, libclang-rt-14-dev)")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
endif()

set(AICORE_FUZZ_DIR "${CMAKE_CURRENT_LIST_DIR}")
function(aicore_fuzz name)
  if(AICORE_FUZZ)
    add_executable(${name} ${ARGN})
    # Coverage is that of the code under test: instrumented checks of the harness took most of the time.
    target_compile_options(${name} PRIVATE -fno-sanitize=fuzzer-no-link)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  else()
    add_executable(${name} ${ARGN} "${AICORE_FUZZ_DIR}/replay.cpp")
  endif()
  target_compile_options(${name} PRIVATE -Wall -Wextra -Werror)
endfunction()
