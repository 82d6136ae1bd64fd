#include "image/fs/compression.h"

#include <lzma.h>
#include <zstd.h>

#include <format>
#include <memory>

namespace steppe::fs {
namespace {
constexpr size_t kStep = 256u << 10;
constexpr uint64_t kXzMemory = 256u << 20;  // what a decoder may take, past every preset
}  // namespace

Result<std::string> zstd(ByteView bytes, int level) {
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context(ZSTD_createCCtx(), ZSTD_freeCCtx);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, level);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, 1);
  const size_t size = ZSTD_compress2(context.get(), out.data(), out.size(), bytes.data(), bytes.size());
  if (ZSTD_isError(size)) return Error(Code::kIo, std::format("zstd: {}", ZSTD_getErrorName(size)));
  out.resize(size);
  return out;
}

bool is_zstd(ByteView bytes) { return bytes.size() >= 4 && load_le<uint32_t>(bytes.data()) == 0xfd2fb528u; }

Result<std::string> unzstd(ByteView bytes, Bytes limit, size_t* used) {
  std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context(ZSTD_createDCtx(), ZSTD_freeDCtx);
  ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, 27);
  ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
  std::string out;
  while (true) {
    const size_t before = out.size();
    out.resize(before + kStep);
    ZSTD_outBuffer to{out.data() + before, kStep, 0};
    const size_t hint = ZSTD_decompressStream(context.get(), &to, &in);
    out.resize(before + to.pos);
    if (ZSTD_isError(hint)) return Error(Code::kCorrupt, std::format("zstd: {}", ZSTD_getErrorName(hint)));
    if (out.size() > limit.count) return Error(Code::kExhausted, std::format("zstd: more than {} bytes", limit.count));
    if (hint == 0) break;
    if (to.pos == 0 && in.pos == in.size) return Error(Code::kCorrupt, "zstd: the frame is cut off");
  }
  *used = in.pos;
  return out;
}

bool is_xz(ByteView bytes) {
  return as_text(bytes).starts_with(
      std::string_view("\xfd"
                       "7zXZ\0",
                       6));
}

Result<std::string> unxz(ByteView bytes, Bytes limit) {
  lzma_stream stream = LZMA_STREAM_INIT;
  if (lzma_stream_decoder(&stream, kXzMemory, LZMA_CONCATENATED) != LZMA_OK)
    return Error(Code::kExhausted, "xz: no memory for a decoder");
  std::unique_ptr<lzma_stream, decltype(&lzma_end)> end(&stream, lzma_end);
  stream.next_in = reinterpret_cast<const uint8_t*>(bytes.data());
  stream.avail_in = bytes.size();
  std::string out;
  lzma_ret state = LZMA_OK;
  while (state == LZMA_OK) {
    const size_t before = out.size();
    out.resize(before + kStep);
    stream.next_out = reinterpret_cast<uint8_t*>(out.data()) + before;
    stream.avail_out = kStep;
    state = lzma_code(&stream, LZMA_FINISH);
    out.resize(before + kStep - stream.avail_out);
    if (out.size() > limit.count) return Error(Code::kExhausted, std::format("xz: more than {} bytes", limit.count));
  }
  if (state != LZMA_STREAM_END)
    return Error(Code::kCorrupt, std::format("xz: damaged or cut off (code {})", static_cast<int>(state)));
  return out;
}

}  // namespace steppe::fs
