#include "agent/state/tree.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "agent/state/trie.h"
#include "init/base/rng.h"

namespace steppe::state {
namespace {

template <class K>
K make_key(Rng& rng, uint64_t range);
template <>
uint32_t make_key<uint32_t>(Rng& rng, uint64_t range) {
  return static_cast<uint32_t>(rng.below(range));
}
template <>
std::string make_key<std::string>(Rng& rng, uint64_t range) {
  return "a key that needs the heap " + std::to_string(rng.below(range));
}

template <class K>
void expect_same(const Tree<K, uint32_t>& tree, const std::map<K, uint32_t>& model) {
  ASSERT_EQ(tree.size(), model.size());
  auto cursor = tree.first();
  for (const auto& [key, value] : model) {
    ASSERT_TRUE(cursor.valid());
    ASSERT_EQ(cursor.key(), key);
    ASSERT_EQ(cursor.value(), value);
    cursor.next();
  }
  ASSERT_FALSE(cursor.valid());
  cursor = tree.last();
  for (auto it = model.rbegin(); it != model.rend(); ++it) {
    ASSERT_TRUE(cursor.valid());
    ASSERT_EQ(cursor.key(), it->first);
    cursor.prev();
  }
  ASSERT_FALSE(cursor.valid());
}

template <class K>
void expect_seeks(const Tree<K, uint32_t>& tree, const std::map<K, uint32_t>& model, const K& key) {
  auto want = model.lower_bound(key);
  auto got = tree.lower_bound(key);
  ASSERT_EQ(got.valid(), want != model.end());
  if (got.valid()) {
    ASSERT_EQ(got.key(), want->first);
  }
  auto before = model.upper_bound(key);
  auto found = tree.at_or_before(key);
  ASSERT_EQ(found.valid(), before != model.begin());
  if (found.valid()) {
    ASSERT_EQ(found.key(), std::prev(before)->first);
  }
  const uint32_t* value = tree.find(key);
  ASSERT_EQ(value != nullptr, model.contains(key));
  if (value != nullptr) {
    ASSERT_EQ(*value, model.at(key));
  }
}

// Random inserts, erases and versions taken on the way; every version must stay what it was.
template <class K>
void run_model(uint64_t seed, uint64_t range, int steps, uint64_t grow_until) {
  SeededRng rng(seed);
  Reclaimer reclaimer;
  Tree<K, uint32_t> tree;
  std::map<K, uint32_t> model;
  std::vector<std::pair<Tree<K, uint32_t>, std::map<K, uint32_t>>> versions;
  for (int i = 0; i < steps; ++i) {
    K key = make_key<K>(rng, range);
    bool shrink = i >= static_cast<int>(grow_until);
    if (rng.below(10) < (shrink ? 8u : 3u)) {
      ASSERT_EQ(tree.erase(reclaimer, key), model.erase(key) == 1);
    } else {
      auto value = static_cast<uint32_t>(rng.next());
      ASSERT_EQ(tree.insert(reclaimer, key, value), !model.contains(key));
      model[key] = value;
    }
    expect_seeks(tree, model, make_key<K>(rng, range));
    if (rng.below(400) == 0) versions.emplace_back(tree.share(), model);
    if (!versions.empty() && rng.below(700) == 0) {
      size_t which = rng.below(versions.size());
      expect_same(versions[which].first, versions[which].second);
      versions[which].first.release(reclaimer);
      versions.erase(versions.begin() + static_cast<ptrdiff_t>(which));
      reclaimer.step(rng.below(50));
    }
  }
  expect_same(tree, model);
  for (auto& [version, content] : versions) {
    expect_same(version, content);
    version.release(reclaimer);
  }
  while (!model.empty()) {
    K key = model.begin()->first;
    ASSERT_TRUE(tree.erase(reclaimer, key));
    model.erase(key);
  }
  EXPECT_EQ(tree.size(), 0u);
  tree.release(reclaimer);
  EXPECT_EQ(reclaimer.step(SIZE_MAX), 0u);
}

TEST(Tree, IntegersAgainstAModel) {
  for (uint64_t seed = 1; seed <= 6; ++seed) run_model<uint32_t>(seed, 5000, 12000, 7000);
  run_model<uint32_t>(7, 40, 4000, 2000);
}

TEST(Tree, TextKeysAgainstAModel) { run_model<std::string>(3, 1500, 6000, 4000); }

TEST(Tree, AscendingKeysFillTheirNodes) {
  // 100,000 keys in order: at half-full nodes that would be over 6,000 leaves.
  Reclaimer reclaimer;
  Tree<uint32_t, uint32_t> tree;
  for (uint32_t i = 0; i < 100000; ++i) ASSERT_TRUE(tree.insert(reclaimer, i, i));
  auto version = tree.share();
  for (uint32_t i = 0; i < 100000; i += 2) ASSERT_TRUE(tree.erase(reclaimer, i));
  EXPECT_EQ(tree.size(), 50000u);
  EXPECT_EQ(version.size(), 100000u);
  uint32_t expected = 0;
  for (auto c = version.first(); c.valid(); c.next()) ASSERT_EQ(c.key(), expected++);
  tree.release(reclaimer);
  reclaimer.step(SIZE_MAX);
  version.release(reclaimer);
  size_t freed = reclaimer.waiting();
  EXPECT_EQ(freed, 1u);
  // What the last version held: at most 100,000 / 32 leaves with some slack, and the nodes above.
  size_t nodes = 0;
  while (reclaimer.step(1) > 0) ++nodes;
  EXPECT_LT(nodes, 3600u);
}

struct Number final : Counted {
  explicit Number(int v) : value(v) {}
  int value;
};

TEST(Trie, RowsAgainstAModel) {
  SeededRng rng(11);
  Reclaimer reclaimer;
  Trie trie;
  std::map<uint32_t, int> model;
  std::vector<std::pair<Trie, std::map<uint32_t, int>>> versions;
  auto check = [](const Trie& version, const std::map<uint32_t, int>& content, uint32_t range) {
    for (uint32_t i = 0; i < range; ++i) {
      auto* row = static_cast<const Number*>(version.get(i));
      auto want = content.find(i);
      ASSERT_EQ(row != nullptr, want != content.end()) << i;
      if (row != nullptr) {
        ASSERT_EQ(row->value, want->second);
      }
    }
  };
  for (int i = 0; i < 20000; ++i) {
    auto at = static_cast<uint32_t>(rng.below(1 + static_cast<uint64_t>(i) / 2));
    if (rng.below(5) == 0) {
      trie.set(reclaimer, at, nullptr);
      model.erase(at);
    } else if (rng.below(4) == 0 && model.contains(at)) {
      trie.edit<Number>(reclaimer, at)->value = i;
      model[at] = i;
    } else {
      trie.set(reclaimer, at, new Number(i));
      model[at] = i;
    }
    if (rng.below(2000) == 0) versions.emplace_back(trie.share(), model);
  }
  EXPECT_EQ(trie.get(1u << 31), nullptr);
  EXPECT_EQ(trie.get(20000), nullptr);
  check(trie, model, 12000);
  for (auto& [version, content] : versions) {
    check(version, content, 12000);
    version.release(reclaimer);
  }
  trie.release(reclaimer);
  EXPECT_EQ(reclaimer.step(SIZE_MAX), 0u);
}

TEST(Reclaimer, FreesInBoundedSteps) {
  Reclaimer reclaimer;
  Trie trie;
  for (uint32_t i = 0; i < 10000; ++i) trie.set(reclaimer, i, new Number(1));
  trie.release(reclaimer);
  size_t steps = 0;
  while (reclaimer.step(100) > 0) ++steps;
  EXPECT_GE(steps, 100u);
  EXPECT_LE(steps, 110u);
}

}  // namespace
}  // namespace steppe::state
