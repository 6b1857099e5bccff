/* GCC before 14 tells the compiler that ldtilecfg reads 8 of its 64 configuration bytes, so the rest is stored too
   late and the instruction faults (llama.cpp issue 20824). Give it the whole operand. */
#include <immintrin.h>
#define _tile_loadconfig(config) __asm__ volatile("ldtilecfg %0" : : "m"(*(const char(*)[64])(config)))
