#pragma once

#include <string>
#include <vector>

namespace steppe::client {

// steppe fetch-document [-sha256 HEX] url URL | ec2 | gce: for steppe-node, which has no TLS of its own. Writes one document of at most
// 1 MiB to standard output, within 20 seconds and the time that names take to resolve. `ec2` and `gce` are user data of these clouds'
// metadata services (a session token first; a header that no web page can send). SSL_CERT_FILE and the proxies of the environment
// count for a URL.
//
// Exit codes: 0 with the document; 3: there is none (404); 4: refused, or not what was expected (a certificate, the digest): not to be
// asked again soon; 1: not now; 2: for words that it does not know. What went wrong is a line on standard error.
//
// The process holds no capability and reaches no file but what TLS and names need (kernel::confine_self).
inline constexpr const char* kDocumentCommand = "fetch-document";
int run_document_command(const std::vector<std::string>& words);

}  // namespace steppe::client
