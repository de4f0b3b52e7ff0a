#pragma once

// Inline assembly, not __builtin_prefetch: GCC 12 drops builtin prefetches from some loops, and a
// volatile statement it must keep.
//
// Into the second level: a graph asks for dozens of lines at once, and of those meant for the first
// level AMD's Zen drops what exceeds its miss buffers (measured: half of a burst of 32).
#if defined(__x86_64__)
#define GAPLESS_PREFETCH(address) asm volatile("prefetcht1 %0" : : "m"(*(address)))
#elif defined(__aarch64__)
#define GAPLESS_PREFETCH(address) asm volatile("prfm pldl1keep, %0" : : "Q"(*(address)))
#else
#define GAPLESS_PREFETCH(address) __builtin_prefetch(address)
#endif
