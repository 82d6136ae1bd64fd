#include <gtest/gtest.h>

#include "image/netboot/ipxe.h"

namespace steppe::netboot {
namespace {

const BootSet kSet{.title = "Steppe 1.2.3",
                   .image = "steppe-1.2.3-amd64.efi",
                   .kernel = "steppe-1.2.3-amd64.vmlinuz",
                   .initrd = "steppe-1.2.3-amd64.initrd",
                   .arguments = "console=ttyS0 panic=30"};

// iPXE reads a script line by line; its first line says that it is one.
TEST(Ipxe, SignedFileUnderUefiAndPartsUnderABios) {
  const std::string script = ipxe_script(kSet);
  EXPECT_TRUE(script.starts_with("#!ipxe\n# Steppe 1.2.3\n"));
  const size_t efi = script.find("\n:efi\n");
  ASSERT_NE(efi, std::string::npos);
  const std::string bios = script.substr(0, efi), after = script.substr(efi);
  EXPECT_NE(bios.find("iseq ${platform} efi && goto efi ||\n"), std::string::npos);
  EXPECT_NE(bios.find("\nkernel steppe-1.2.3-amd64.vmlinuz "
                      "initrd=steppe-1.2.3-amd64.initrd console=ttyS0 panic=30 ||"),
            std::string::npos);
  EXPECT_NE(bios.find("\ninitrd --name steppe-1.2.3-amd64.initrd "
                      "steppe-1.2.3-amd64.initrd ||"),
            std::string::npos);
  EXPECT_EQ(bios.find(".efi "), std::string::npos);
  EXPECT_NE(after.find("\nkernel steppe-1.2.3-amd64.efi console=ttyS0 panic=30 ||"), std::string::npos);
  EXPECT_EQ(after.find("vmlinuz"), std::string::npos);
}

// Firmware goes on with its next entry only when the program before it failed.
TEST(Ipxe, AFailureIsTold) { EXPECT_TRUE(ipxe_script(kSet).ends_with("\nexit 1\n")); }

}  // namespace
}  // namespace steppe::netboot
