#pragma once

#include "kernels/kernels.h"

// One table for each instruction set, each defined in the file of its name. Constant-initialised:
// no code of an instruction set may run before dispatch has seen the CPU.
namespace gapless {

extern const CodeKernels kScalarCodeKernels;
extern const CodeKernels kAvx2CodeKernels;
extern const CodeKernels kAvx512VnniCodeKernels;
extern const CodeKernels kNeonCodeKernels;
extern const CodeKernels kNeonDotCodeKernels;

extern const Kernels kScalarKernels;
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;
extern const Kernels kAvx512VnniKernels;
extern const Kernels kNeonKernels;
extern const Kernels kNeonDotKernels;

}  // namespace gapless
