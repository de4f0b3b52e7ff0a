#pragma once

// Inline assembly, not __builtin_prefetch: GCC 12 drops builtin prefetches from some loops, and a
// volatile statement it must keep.
#if defined(__x86_64__)
#define GAPLESS_PREFETCH(address) asm volatile("prefetcht0 %0" : : "m"(*(address)))
#elif defined(__aarch64__)
#define GAPLESS_PREFETCH(address) asm volatile("prfm pldl1keep, %0" : : "Q"(*(address)))
#else
#define GAPLESS_PREFETCH(address) __builtin_prefetch(address)
#endif
