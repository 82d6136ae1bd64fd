#pragma once

#include <string>
#include <string_view>

#include "image/build/workbench.h"
#include "image/spec/spec.h"

namespace steppe::build {

// Writes an ISO 9660 image to `path` that UEFI firmware starts from a CD (El
// Torito, UEFI specification 13.3.2.1), and from a stick that it was copied to
// (it has a GPT, too). Its one EFI file system holds the image itself at the
// place where firmware looks: a read-only medium has no slots to choose from,
// so no boot loader is in between. The file system is longer than the 32 MiB
// that an El Torito catalog can state, so the catalog says "to the end of the
// volume", where only a few bytes for people come after it. Every id and time
// follows from spec and image.
Result<> make_iso_image(const spec::Spec& spec, const std::string& image_path, std::string_view image,
                        const std::string& path, const std::string& scratch, Workbench& bench);

}  // namespace steppe::build
