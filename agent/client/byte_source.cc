#include "agent/client/byte_source.h"

#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <array>

namespace steppe::client {
namespace {

constexpr size_t kChunk = 64 << 10;
constexpr uint64_t kXzMemory = uint64_t{256} << 20;
constexpr int kZstdWindowLog = 27;

// Refills `buffer` from `from`; false at the end.
struct Input {
  explicit Input(ByteSource& source) : from(source) {}
  ByteSource& from;
  std::array<std::byte, kChunk> buffer;
  size_t size = 0, at = 0;
  bool ended = false;

  Result<bool> refill() {
    if (at < size) return true;
    if (ended) return false;
    STEPPE_TRY(size, from.read(buffer));
    at = 0;
    ended = size == 0;
    return size > 0;
  }
};

Error damaged(const char* what) { return Error(Code::kCorrupt, std::string("the archive's compression is damaged: ") + what); }

class GzipSource final : public ByteSource {
 public:
  explicit GzipSource(ByteSource& from) : input_(from) { ready_ = ::inflateInit2(&z_, 16 + MAX_WBITS) == Z_OK; }
  ~GzipSource() override { ::inflateEnd(&z_); }
  Result<size_t> read(ByteSpan into) override {
    if (!ready_) return Error(Code::kExhausted, "no memory for gzip");
    z_.next_out = reinterpret_cast<Bytef*>(into.data());
    z_.avail_out = static_cast<uInt>(std::min<size_t>(into.size(), 1u << 30));
    size_t room = z_.avail_out;
    while (z_.avail_out == room && !done_) {
      STEPPE_TRY(bool more, input_.refill());
      if (!more) {
        if (between_) break;
        return damaged("it ends early");
      }
      z_.next_in = reinterpret_cast<Bytef*>(input_.buffer.data() + input_.at);
      z_.avail_in = static_cast<uInt>(input_.size - input_.at);
      between_ = false;
      int code = ::inflate(&z_, Z_NO_FLUSH);
      input_.at = input_.size - z_.avail_in;
      if (code == Z_STREAM_END) {
        // Several gzip members in a row are one file (RFC 1952 section 2.2); zeros may pad the end.
        between_ = true;
        STEPPE_TRY(more, input_.refill());
        if (!more || input_.buffer[input_.at] == std::byte{0}) done_ = true;
        else if (::inflateReset(&z_) != Z_OK) return damaged("reset");
      } else if (code != Z_OK && code != Z_BUF_ERROR) {
        return damaged(z_.msg != nullptr ? z_.msg : "inflate");
      }
    }
    return room - z_.avail_out;
  }

 private:
  Input input_;
  z_stream z_{};
  bool ready_ = false, done_ = false, between_ = false;
};

class ZstdSource final : public ByteSource {
 public:
  explicit ZstdSource(ByteSource& from) : input_(from), stream_(ZSTD_createDCtx()) {
    if (stream_ != nullptr) ZSTD_DCtx_setParameter(stream_, ZSTD_d_windowLogMax, kZstdWindowLog);
  }
  ~ZstdSource() override { ZSTD_freeDCtx(stream_); }
  Result<size_t> read(ByteSpan into) override {
    if (stream_ == nullptr) return Error(Code::kExhausted, "no memory for zstd");
    ZSTD_outBuffer out{into.data(), into.size(), 0};
    while (out.pos == 0) {
      STEPPE_TRY(bool more, input_.refill());
      if (!more) {
        if (pending_) return damaged("it ends early");
        return size_t{0};
      }
      ZSTD_inBuffer in{input_.buffer.data(), input_.size, input_.at};
      size_t code = ZSTD_decompressStream(stream_, &out, &in);
      input_.at = in.pos;
      if (ZSTD_isError(code)) return damaged(ZSTD_getErrorName(code));
      pending_ = code != 0;
    }
    return out.pos;
  }

 private:
  Input input_;
  ZSTD_DCtx* stream_;
  bool pending_ = false;
};

class XzSource final : public ByteSource {
 public:
  explicit XzSource(ByteSource& from) : input_(from) {
    ready_ = ::lzma_stream_decoder(&z_, kXzMemory, LZMA_CONCATENATED) == LZMA_OK;
  }
  ~XzSource() override { ::lzma_end(&z_); }
  Result<size_t> read(ByteSpan into) override {
    if (!ready_) return Error(Code::kExhausted, "no memory for xz");
    z_.next_out = reinterpret_cast<uint8_t*>(into.data());
    z_.avail_out = into.size();
    while (z_.avail_out == into.size() && !done_) {
      STEPPE_TRY(bool more, input_.refill());
      z_.next_in = reinterpret_cast<const uint8_t*>(input_.buffer.data() + input_.at);
      z_.avail_in = input_.size - input_.at;
      lzma_ret code = ::lzma_code(&z_, more ? LZMA_RUN : LZMA_FINISH);
      input_.at = input_.size - z_.avail_in;
      if (code == LZMA_STREAM_END) done_ = true;
      else if (code == LZMA_MEMLIMIT_ERROR) return Error(Code::kExhausted, "the archive needs more than 256 MiB to decompress");
      else if (code != LZMA_OK) return damaged("xz");
    }
    return into.size() - z_.avail_out;
  }

 private:
  Input input_;
  lzma_stream z_ = LZMA_STREAM_INIT;
  bool ready_ = false, done_ = false;
};

class PlainSource final : public ByteSource {
 public:
  explicit PlainSource(ByteSource& from) : from_(from) {}
  Result<size_t> read(ByteSpan into) override { return from_.read(into); }

 private:
  ByteSource& from_;
};

}  // namespace

std::unique_ptr<ByteSource> decompress(ByteSource& from, Compression compression) {
  switch (compression) {
    case Compression::kGzip: return std::make_unique<GzipSource>(from);
    case Compression::kZstd: return std::make_unique<ZstdSource>(from);
    case Compression::kXz: return std::make_unique<XzSource>(from);
    case Compression::kNone: break;
  }
  return std::make_unique<PlainSource>(from);
}

Compression detect_compression(std::string_view b) {
  if (b.starts_with("\x1f\x8b")) return Compression::kGzip;
  if (b.starts_with("\x28\xb5\x2f\xfd")) return Compression::kZstd;
  if (b.starts_with(std::string_view("\xfd" "7zXZ\0", 6))) return Compression::kXz;
  return Compression::kNone;
}

}  // namespace steppe::client
