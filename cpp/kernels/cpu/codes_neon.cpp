#include "kernels/cpu/codes_neon.inc"

namespace gapless {

const CodeKernels kNeonCodeKernels = {"neon",       dot_bytes,     dot_nibbles, dot_bf16,
                                      filter_lines, score_nibbles, hadamard,    encode_query,
                                      encode_row,   decode_row,    encode_bytes};

}  // namespace gapless
