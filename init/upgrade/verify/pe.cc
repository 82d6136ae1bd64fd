#include "init/upgrade/verify/pe.h"

#include <algorithm>

namespace steppe::verify {

namespace {

constexpr size_t kMaxHeaders = 64 << 10;
constexpr uint16_t kPe32Plus = 0x20b;
constexpr size_t kCoffSize = 20, kSectionSize = 40, kDirectoriesAt = 112, kCertificateDirectory = 4;
constexpr size_t kMaxSignatures = 8;

Error wrong(std::string what) { return {Code::kInvalid, "not an EFI program: " + std::move(what)}; }

// Reads integers out of the headers; the place must be inside.
class Header {
 public:
  explicit Header(std::string bytes) : bytes_(std::move(bytes)) {}
  template <class T>
  Result<T> at(size_t offset, const char* what) const {
    if (offset > bytes_.size() || bytes_.size() - offset < sizeof(T)) return wrong(std::string(what) + " is past the headers");
    return load_le<T>(bytes_.data() + offset);
  }
  std::string_view text(size_t offset, size_t length) const { return std::string_view(bytes_).substr(std::min(offset, bytes_.size()), length); }
  size_t size() const { return bytes_.size(); }

 private:
  std::string bytes_;
};

Result<> read_sections(const Header& header, size_t at, size_t count, uint64_t file_size, PeImage& image) {
  if (count == 0 || count > kMaxSections) return wrong(std::to_string(count) + " sections");
  for (size_t i = 0; i < count; i++, at += kSectionSize) {
    if (header.size() < at + kSectionSize) return wrong("the section table is past the headers");
    PeSection section;
    std::string_view name = header.text(at, 8);
    section.name = name.substr(0, name.find('\0'));
    STEPPE_TRY(uint32_t loaded, header.at<uint32_t>(at + 8, "VirtualSize"));
    STEPPE_TRY(uint32_t size, header.at<uint32_t>(at + 16, "SizeOfRawData"));
    STEPPE_TRY(uint32_t offset, header.at<uint32_t>(at + 20, "PointerToRawData"));
    if (size == 0) continue;
    if (offset > file_size || file_size - offset < size) return wrong("section " + section.name + " reaches past the file's end");
    section.offset = offset;
    section.size = size;
    section.used = std::min(loaded, size);
    image.sections.push_back(std::move(section));
  }
  std::ranges::sort(image.sections, {}, &PeSection::offset);
  uint64_t end = image.headers;
  for (const PeSection& section : image.sections) {
    if (section.offset != end)
      return wrong("section " + section.name + (section.offset < end ? " overlaps what is before it" : " leaves a gap before it"));
    end += section.size;
  }
  uint64_t signed_end = image.certificates ? image.certificates : file_size;
  // The certificate table stands on a multiple of 8; what fills up to it is hashed.
  if (signed_end < end || signed_end - end >= 8) return wrong("there are bytes between the last section and the end, or too few");
  return {};
}

// The file's bytes [from, to).
Result<> add_range(upgrade::Sha256& hash, ImageBytes& bytes, uint64_t from, uint64_t to) {
  std::string piece(std::min<uint64_t>(256 << 10, to > from ? to - from : 0), '\0');
  while (from < to) {
    ByteSpan part = std::as_writable_bytes(std::span(piece)).first(std::min<uint64_t>(piece.size(), to - from));
    STEPPE_TRY_VOID(bytes.read(from, part));
    hash.add(part);
    from += part.size();
  }
  return {};
}

}  // namespace

const PeSection* PeImage::find(std::string_view name) const {
  const PeSection* found = nullptr;
  for (const PeSection& section : sections) {
    if (section.name != name) continue;
    if (found) return nullptr;
    found = &section;
  }
  return found;
}

Result<PeImage> read_pe(ImageBytes& bytes) {
  std::string start(std::min<uint64_t>(bytes.size(), kMaxHeaders), '\0');
  STEPPE_TRY_VOID(bytes.read(0, std::as_writable_bytes(std::span(start))));
  Header header(std::move(start));
  if (header.text(0, 2) != "MZ") return wrong("it does not begin with MZ");
  STEPPE_TRY(uint32_t pe, header.at<uint32_t>(0x3c, "the PE header's offset"));
  if (pe < 0x40 || pe > 4096) return wrong("its PE header is at " + std::to_string(pe));
  if (header.text(pe, 4) != std::string_view("PE\0\0", 4)) return wrong("there is no PE signature");
  size_t coff = pe + 4, optional = coff + kCoffSize;
  PeImage image;
  STEPPE_TRY(image.machine, header.at<uint16_t>(coff, "Machine"));
  STEPPE_TRY(uint16_t count, header.at<uint16_t>(coff + 2, "NumberOfSections"));
  STEPPE_TRY(uint16_t optional_size, header.at<uint16_t>(coff + 16, "SizeOfOptionalHeader"));
  STEPPE_TRY(uint16_t magic, header.at<uint16_t>(optional, "Magic"));
  if (magic != kPe32Plus) return wrong("it is not PE32+");
  STEPPE_TRY(uint32_t headers, header.at<uint32_t>(optional + 60, "SizeOfHeaders"));
  STEPPE_TRY(uint32_t directories, header.at<uint32_t>(optional + 108, "NumberOfRvaAndSizes"));
  if (directories > 16 || optional_size != kDirectoriesAt + size_t{8} * directories) return wrong("its data directories do not add up");
  if (directories <= kCertificateDirectory) return wrong("it has no place for a certificate table");
  size_t sections = optional + optional_size;
  if (headers > header.size() || headers < sections + kSectionSize * count) return wrong("SizeOfHeaders is " + std::to_string(headers));
  image.headers = headers;
  image.checksum = optional + 64;
  image.certificates_entry = optional + kDirectoriesAt + 8 * kCertificateDirectory;
  STEPPE_TRY(image.certificates, header.at<uint32_t>(image.certificates_entry, "the certificate table"));
  STEPPE_TRY(image.certificates_size, header.at<uint32_t>(image.certificates_entry + 4, "the certificate table"));
  if (image.certificates_size == 0) image.certificates = 0;
  if (image.certificates && (image.certificates % 8 != 0 || image.certificates_size > kMaxCertificates ||
                             image.certificates > bytes.size() || bytes.size() - image.certificates != image.certificates_size))
    return wrong("its certificate table is not the end of the file");
  STEPPE_TRY_VOID(read_sections(header, sections, count, bytes.size(), image));
  return image;
}

Result<Digest> authenticode_digest(ImageBytes& bytes, const PeImage& image) {
  // Headers, sections and fill follow one another without gaps (read_pe), so this is the file with three holes.
  upgrade::Sha256 hash;
  STEPPE_TRY_VOID(add_range(hash, bytes, 0, image.checksum));
  STEPPE_TRY_VOID(add_range(hash, bytes, image.checksum + 4, image.certificates_entry));
  STEPPE_TRY_VOID(add_range(hash, bytes, image.certificates_entry + 8, image.certificates ? image.certificates : bytes.size()));
  return hash.finish();
}

Result<std::string> read_section(ImageBytes& bytes, const PeSection& section, size_t limit) {
  if (section.used > limit)
    return {Code::kExhausted,
            "section " + section.name + " has " + std::to_string(section.used) + " bytes, at most " + std::to_string(limit)};
  std::string content(section.used, '\0');
  STEPPE_TRY_VOID(bytes.read(section.offset, std::as_writable_bytes(std::span(content))));
  return content;
}

Result<std::vector<std::string>> read_signatures(ImageBytes& bytes, const PeImage& image) {
  std::vector<std::string> signatures;
  std::string table(image.certificates_size, '\0');
  STEPPE_TRY_VOID(bytes.read(image.certificates, std::as_writable_bytes(std::span(table))));
  // WIN_CERTIFICATE: u32 length with this header, u16 revision 2.0, u16 type 2 (PKCS#7), then the blob; each padded to 8.
  for (size_t at = 0; at < table.size();) {
    if (table.size() - at < 8) return wrong("its certificate table is cut");
    uint32_t length = load_le<uint32_t>(table.data() + at);
    uint16_t revision = load_le<uint16_t>(table.data() + at + 4), type = load_le<uint16_t>(table.data() + at + 6);
    if (length <= 8 || length > table.size() - at) return wrong("an entry of its certificate table has " + std::to_string(length) + " bytes");
    if (revision == 0x0200 && type == 2) {
      if (signatures.size() == kMaxSignatures) return wrong("it has more than 8 signatures");
      signatures.push_back(table.substr(at + 8, length - 8));
    }
    at = std::min<size_t>(table.size(), at + (length + 7) / 8 * 8);
  }
  return signatures;
}

}  // namespace steppe::verify
