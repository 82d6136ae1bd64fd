// Every function against tests/data/functions.tsv, whose results are those of Nomad's own functions, and what that
// table cannot hold: randomness, files, limits.
#include "agent/jobspec/functions.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <fstream>
#include <set>

#include "agent/jobspec/function_families.h"
#include "init/base/bytes.h"
#include "init/base/text.h"
#include "init/hcl/parser.h"

namespace steppe::jobspec {
namespace {

class FakeFiles final : public FileReader {
 public:
  std::map<std::string, std::string> files;
  Result<std::string> read(const std::string& path) override {
    auto found = files.find(path);
    if (found == files.end()) return Error(Code::kNotFound, "no such file");
    return found->second;
  }
  Result<bool> exists(const std::string& path) override { return files.contains(path); }
  Result<std::vector<std::string>> list(const std::string& directory) override {
    std::vector<std::string> names;
    for (const auto& [path, text] : files) {
      if (path.starts_with(directory + "/")) names.push_back(path.substr(directory.size() + 1));
    }
    return names;
  }
  Result<std::string> working_directory() override { return std::string("/here"); }
  Result<std::string> home_directory() override { return std::string("/home/me"); }
};

class Functions : public testing::Test {
 protected:
  std::string run(const std::string& text) {
    hcl::Source source{"t.hcl", text};
    hcl::Diagnostics diagnostics;
    hcl::ExprPtr expr = hcl::parse_expression(source, diagnostics);
    if (!expr) return "error: " + diagnostics.text();
    ParseOptions options;
    options.files = files;
    options.rng = &rng;
    options.base_directory = "/job";
    hcl::FunctionTable table = make_functions(options);
    hcl::Scope scope;
    hcl::Budget budget;
    hcl::Evaluation evaluation{source, &scope, table, budget, diagnostics};
    auto value = hcl::evaluate(*expr, evaluation);
    return value ? encode_json(*value) : "error: " + diagnostics.text();
  }

  FakeFiles fake;
  FileReader* files = &fake;
  SeededRng rng{7};
};

// Plain JSON without spaces to ours: the table escapes what is not ASCII, we escape <, > and &.
std::string decoded(std::string_view json) {
  hcl::FunctionTable table = make_functions({});
  hcl::Budget budget;
  hcl::Value text{std::string(json)};
  auto value = table.at("jsondecode").call(std::span(&text, 1), budget);
  return value.ok() ? encode_json(*value) : "unreadable: " + std::string(json);
}

TEST_F(Functions, MatchTheTable) {
  std::ifstream file("tests/data/functions.tsv");
  ASSERT_TRUE(file.is_open());
  std::string line;
  size_t rows = 0;
  std::set<std::string> called;
  while (std::getline(file, line)) {
    if (line.starts_with('#')) continue;
    size_t tab = line.find('\t');
    ASSERT_NE(tab, line.npos);
    hcl::Value quoted{line.substr(0, tab)};
    hcl::Budget budget;
    std::string text = make_functions({}).at("jsondecode").call(std::span(&quoted, 1), budget)->string();
    called.insert(text.substr(0, text.find('(')));
    std::string expected = line.substr(tab + 1), found = run(text);
    ++rows;
    if (expected == "error") {
      EXPECT_TRUE(found.starts_with("error: ")) << text << " gave " << found;
    } else {
      EXPECT_EQ(found, decoded(expected)) << text;
    }
  }
  EXPECT_GT(rows, 250u);
  // No function is left out of the table but those that need chance, files or a key.
  const std::set<std::string> elsewhere = {"abspath",    "bcrypt",  "file",       "filebase64",
                                           "fileexists", "fileset", "pathexpand", "uuidv4"};
  for (const auto& [name, function] : make_functions({}))
    EXPECT_TRUE(called.contains(name) || elsewhere.contains(name)) << name;
}

TEST_F(Functions, AllNamesArePresent) {
  constexpr std::string_view kNames =
      "abs ceil floor log max min parseint pow signum chomp format formatlist indent join lower regex_replace replace "
      "split strlen strrev "
      "substr title trim trimprefix trimspace trimsuffix upper chunklist coalesce coalescelist compact concat contains "
      "distinct element "
      "flatten index keys length lookup merge range reverse setintersection setproduct setunion slice sort values "
      "zipmap base64decode "
      "base64encode csvdecode jsondecode jsonencode urlencode yamldecode yamlencode bcrypt md5 rsadecrypt sha1 sha256 "
      "sha512 uuidv4 uuidv5 "
      "cidrhost cidrnetmask cidrsubnet cidrsubnets formatdate timeadd abspath basename dirname file filebase64 "
      "fileexists fileset pathexpand "
      "can convert try";
  hcl::FunctionTable table = make_functions({});
  size_t count = 0;
  for (std::string_view name : split(kNames, ' ')) {
    EXPECT_TRUE(table.contains(name)) << name;
    ++count;
  }
  EXPECT_EQ(table.size(), count);
}

TEST_F(Functions, TakeMoreThanNomads) {
  EXPECT_EQ(run("reverse([1, 2, 3])"), "[3,2,1]");
  EXPECT_EQ(run("length({a=1})"), "1");
  EXPECT_EQ(run("signum(-2.5)"), "-1");
  EXPECT_EQ(run("index({a=5}, \"a\")"), "5");
  EXPECT_EQ(run("coalescelist(null, [\"x\"])"), "[\"x\"]");
}

TEST_F(Functions, RandomOnesComeFromTheGivenSource) {
  std::string first = run("uuidv4()");
  EXPECT_EQ(first.size(), 38u);
  EXPECT_NE(first, run("uuidv4()"));
  rng = SeededRng(7);
  EXPECT_EQ(first, run("uuidv4()"));
  std::string hash = run("bcrypt(\"secret\", 4)");
  EXPECT_TRUE(hash.starts_with("\"$2a$04$")) << hash;
  EXPECT_EQ(hash.size(), 62u);
  EXPECT_TRUE(run("bcrypt(\"secret\", 31)").starts_with("error"));
  ParseOptions none;
  hcl::Budget budget;
  EXPECT_EQ(make_functions(none).at("uuidv4").call({}, budget).error().code(), Code::kUnsupported);
}

TEST_F(Functions, FilesComeFromTheGivenReader) {
  fake.files = {{"/job/a.txt", "hello"},
                {"/job/conf/x.yml", "x"},
                {"/job/conf/deep/y.yml", "y"},
                {"/job/bin", "\xFF\xFE"},
                {"/home/me/h", "home"}};
  EXPECT_EQ(run("file(\"a.txt\")"), "\"hello\"");
  EXPECT_EQ(run("file(\"conf/../a.txt\")"), "\"hello\"");
  EXPECT_EQ(run("file(\"~/h\")"), "\"home\"");
  EXPECT_EQ(run("filebase64(\"bin\")"), "\"//4=\"");
  EXPECT_NE(run("file(\"bin\")").find("not valid UTF-8"), std::string::npos);
  EXPECT_NE(run("file(\"none\")").find("/job/none: no such file"), std::string::npos);
  EXPECT_EQ(run("fileexists(\"a.txt\")"), "true");
  EXPECT_EQ(run("fileexists(\"b.txt\")"), "false");
  EXPECT_EQ(run("fileset(\".\", \"**/*.yml\")"), "[\"conf/deep/y.yml\",\"conf/x.yml\"]");
  EXPECT_EQ(run("fileset(\"conf\", \"*.yml\")"), "[\"x.yml\"]");
  EXPECT_EQ(run("fileset(\".\", \"{a,b}.[s-u]?t\")"), "[\"a.txt\"]");
  EXPECT_EQ(run("abspath(\"x/../y\")"), "\"/here/y\"");
  EXPECT_EQ(run("pathexpand(\"~/x\")"), "\"/home/me/x\"");
  files = nullptr;
  for (const char* call : {"file(\"a.txt\")", "fileset(\".\", \"*\")", "basename(\"a\")", "abspath(\"a\")"}) {
    EXPECT_NE(run(call).find("disabled"), std::string::npos) << call;
  }
}

// A fresh key; what it encrypts comes back, and nothing else does.
TEST_F(Functions, DecryptsRsa) {
  std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_RSA_gen(1024), EVP_PKEY_free);
  ASSERT_TRUE(key);
  std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new(BIO_s_mem()), BIO_free);
  ASSERT_EQ(PEM_write_bio_PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr), 1);
  char* data = nullptr;
  long size = BIO_get_mem_data(bio.get(), &data);
  hcl::Value pem{std::string(data, static_cast<size_t>(size))};
  std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)> context(EVP_PKEY_CTX_new(key.get(), nullptr),
                                                                      EVP_PKEY_CTX_free);
  ASSERT_EQ(EVP_PKEY_encrypt_init(context.get()), 1);
  ASSERT_EQ(EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_PADDING), 1);
  std::string plain = "hello steppe", cipher(256, 0);
  size_t length = cipher.size();
  ASSERT_EQ(EVP_PKEY_encrypt(context.get(), reinterpret_cast<unsigned char*>(cipher.data()), &length,
                             reinterpret_cast<const unsigned char*>(plain.data()), plain.size()),
            1);
  cipher.resize(length);
  hcl::Value arguments[] = {hcl::Value(base64(as_bytes(cipher))), pem};
  hcl::Budget budget;
  auto function = make_functions({}).at("rsadecrypt").call;
  auto decrypted = function(arguments, budget);
  ASSERT_TRUE(decrypted.ok()) << decrypted.error().message();
  EXPECT_EQ(decrypted->string(), plain);
  cipher[5] ^= 1;
  arguments[0] = hcl::Value(base64(as_bytes(cipher)));
  auto wrong = function(arguments, budget);
  EXPECT_TRUE(!wrong.ok() || wrong->string() != plain);
  EXPECT_NE(run("rsadecrypt(\"!\", \"x\")").find("base64"), std::string::npos);
  EXPECT_NE(run("rsadecrypt(\"aGk=\", \"x\")").find("RSA private key"), std::string::npos);
}

TEST_F(Functions, HugeResultsAreRefused) {
  for (const char* text : {
           "join(format(\"%4000s\", \"x\"), range(1000), range(1000), [for a in range(1000): [for b in range(1000): "
           "a]]...)",
           "setproduct(range(1000), range(1000), range(1000), range(1000), range(1000), range(1000), range(1000))",
           "format(\"%999999999d\", 1)",
           "replace(format(\"%4000s\", \"\"), \" \", replace(format(\"%4000s\", \"\"), \" \", format(\"%4000s\", "
           "\"\")))",
           "indent(1024, replace(format(\"%4000s\", \"\"), \" \", replace(format(\"%4000s\", \"\"), \" \", \"\\n\")))",
           "yamldecode(\"a: &a [x,x,x,x,x,x,x,x,x,x]\\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\\nc: &c "
           "[*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\\n"
           "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\\nf: &f "
           "[*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\\n"
           "g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]\\nh: [*g,*g,*g,*g,*g,*g,*g,*g,*g,*g]\")",
           "jsondecode(replace(format(\"%4000s\", \"\"), \" \", \"[\"))",
           "yamldecode(replace(format(\"%4000s\", \"\"), \" \", \"[\"))",
           "regex_replace(format(\"%4000s\", \"\"), \" \", format(\"%4000s\", format(\"%4000s\", \"\")))",
       }) {
    std::string found = run(text);
    EXPECT_TRUE(found.starts_with("error: ") || found.size() < (64u << 20)) << found.substr(0, 200);
  }
}

}  // namespace
}  // namespace steppe::jobspec
