#pragma once

// Compiles a function once per instruction set and picks at load time by what the processor has. Results are the same bits
// in every version: nothing here may be fused or reassociated (see CMakeLists.txt).
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define STEPPE_MULTIVERSION
#endif
#endif
#ifndef STEPPE_MULTIVERSION
#define STEPPE_MULTIVERSION __attribute__((target_clones("avx512f", "avx2", "default")))
#endif
#else
#define STEPPE_MULTIVERSION
#endif
