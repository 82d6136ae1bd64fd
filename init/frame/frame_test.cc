#include "init/frame/frame.h"

#include <gtest/gtest.h>

#include "init/base/rng.h"

namespace steppe::frame {
namespace {

std::string sample() { return Builder(7, 2).text(1, "web").integer(2, -5).text(3, "").finish(); }

TEST(Frame, round_trip) {
  std::string bytes = sample();
  auto message = decode(as_bytes(bytes), 7, 2);
  ASSERT_TRUE(message.ok()) << message.error().message();
  EXPECT_EQ(message->version(), 2);
  EXPECT_EQ(message->text(1), "web");
  EXPECT_EQ(message->integer(2), -5);
  EXPECT_TRUE(message->has(3));
  EXPECT_FALSE(message->has(4));
  EXPECT_EQ(message->integer(4, 9), 9);
  EXPECT_EQ(message->integer(1, 9), 9) << "three bytes are no integer";
  EXPECT_EQ(message->size(), bytes.size());
}

// The bytes on disk of version 1 never change.
TEST(Frame, golden_bytes) {
  EXPECT_EQ(hex(as_bytes(Builder(4, 1).integer(1, 42).text(2, "x").finish())),
            "535446310400010019000000189e68940100000008000000"
            "2a000000000000000200000001000000" "78");
}

TEST(Frame, writer_and_builder_agree) {
  std::byte buffer[256];
  Writer writer(buffer, 7, 2);
  writer.add(1, as_bytes("web"));
  writer.add_integer(2, -5);
  writer.add(3, {});
  EXPECT_EQ(as_text(writer.finish()), sample());
  for (size_t room = 0; room < sample().size(); ++room) {
    Writer tight{std::span(buffer).first(room), 7, 2};
    tight.add(1, as_bytes("web"));
    tight.add_integer(2, -5);
    tight.add(3, {});
    EXPECT_TRUE(tight.finish().empty()) << room;
  }
}

TEST(Frame, small_checksum_is_the_checksum) {
  std::string text;
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(small_crc32c(as_bytes(text)), crc32c(as_bytes(text)));
    EXPECT_EQ(small_crc32c(as_bytes(text), 77u), crc32c(as_bytes(text), 77u));
    text.push_back(static_cast<char>(i * 37));
  }
}

TEST(Frame, every_flipped_bit_is_found) {
  std::string bytes = sample();
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string bad = bytes;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(decode(as_bytes(bad), 7, 2).ok()) << bit;
  }
}

TEST(Frame, every_cut_is_short) {
  std::string bytes = sample();
  for (size_t size = 0; size < bytes.size(); ++size) {
    auto cut = decode(as_bytes(bytes).first(size), 7, 2);
    ASSERT_FALSE(cut.ok());
    EXPECT_EQ(cut.error().code(), Code::kUnavailable) << size;
  }
}

struct Bad {
  const char* name;
  std::string bytes;
  Code code;
};

std::string with_payload(std::string payload) {
  std::string bytes(kHeaderSize, '\0');
  store_le(bytes.data(), kMagic);
  store_le<uint16_t>(bytes.data() + 4, 7);
  store_le<uint16_t>(bytes.data() + 6, 1);
  store_le(bytes.data() + 8, static_cast<uint32_t>(payload.size()));
  bytes += payload;
  uint32_t crc = crc32c(as_bytes(bytes).subspan(kHeaderSize), crc32c(as_bytes(bytes).first(12)));
  store_le(bytes.data() + 12, crc);
  return bytes;
}

TEST(Frame, refuses) {
  std::string huge = sample();
  store_le<uint32_t>(huge.data() + 8, 0xffffffff);
  const Bad cases[] = {
      {"wrong type", Builder(8, 1).finish(), Code::kCorrupt},
      {"version 0", Builder(7, 0).finish(), Code::kUnsupported},
      {"future version", Builder(7, 3).finish(), Code::kUnsupported},
      {"repeated tag", Builder(7, 1).integer(1, 1).integer(1, 2).finish(), Code::kCorrupt},
      {"length of 4 GiB", huge, Code::kCorrupt},
      {"half a field header", with_payload("\x01"), Code::kCorrupt},
      {"field past the end", with_payload(std::string("\x01\0\0\0\x09\0\0\0abc", 11)), Code::kCorrupt},
      {"reserved bits set", with_payload(std::string("\x01\0\x01\0\0\0\0\0", 8)), Code::kCorrupt},
      {"not a frame", "GET / HTTP/1.1\r\n\r\n", Code::kCorrupt},
  };
  for (const Bad& bad : cases) {
    auto result = decode(as_bytes(bad.bytes), 7, 2);
    ASSERT_FALSE(result.ok()) << bad.name;
    EXPECT_EQ(result.error().code(), bad.code) << bad.name << ": " << result.error().message();
  }
}

TEST(Frame, payload_limit) {
  std::string bytes = Builder(7, 1).text(1, std::string(2000, 'x')).finish();
  EXPECT_TRUE(decode(as_bytes(bytes), 7, 1, 2008).ok());
  EXPECT_FALSE(decode(as_bytes(bytes), 7, 1, 2007).ok());
  EXPECT_EQ(Builder(7, 1).text(1, std::string(kMaxPayload, 'x')).finish(), "");
}

}  // namespace
}  // namespace steppe::frame
