#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "agent/state/counted.h"

namespace steppe::state {

struct NoValue {};

// A persistent B+ tree: ordered keys, 32 to a node (about 30 dense lines of memory; measured best among 32, 64 and
// hash shards). The handle is three words; share() gives a second handle to the same version in O(1), and a change
// through one of them copies only the nodes on its path. Changes, share() and release() on the writer's thread; reads
// on any, as long as the version is held.
//
// A handle owns one reference to its top node and has no destructor: who holds it calls release().
template <class K, class V = NoValue>
class Tree {
  static constexpr int kMax = 32;
  static constexpr int kMin = 12;  // fewer: merged with a neighbour on erase

  template <class T, int n>
  struct Values {
    std::array<T, n> at{};
    void assign(int to, const Values& from, int source) { at[to] = from.at[source]; }
  };
  template <int n>
  struct Values<NoValue, n> {
    void assign(int, const Values&, int) {}
  };

  struct Node : Counted {
    explicit Node(bool is_leaf) : leaf(is_leaf) {}
    uint16_t count = 0;
    bool leaf;
  };
  struct Leaf final : Node {
    Leaf() : Node(true) {}
    std::array<K, kMax> keys{};
    [[no_unique_address]] Values<V, kMax> values;
  };
  // Child i holds keys >= keys[i]; keys[0] is not looked at.
  struct Inner final : Node {
    Inner() : Node(false) {}
    std::array<K, kMax> keys{};
    std::array<Node*, kMax> children{};

   private:
    void drop(Reclaimer& reclaimer) override {
      for (int i = 0; i < this->count; ++i) reclaimer.release(children[i]);
    }
  };

 public:
  // A place in one version, or behind its ends (valid() is false).
  class Cursor {
   public:
    bool valid() const { return depth_ > 0; }
    const K& key() const { return leaf()->keys[frames_[depth_ - 1].position]; }
    const V& value() const
      requires(!std::is_same_v<V, NoValue>)
    {
      return leaf()->values.at[frames_[depth_ - 1].position];
    }
    void next() { step(+1); }
    void prev() { step(-1); }

   private:
    friend class Tree;
    struct Frame {
      const Node* node;
      int position;
    };
    const Leaf* leaf() const { return static_cast<const Leaf*>(frames_[depth_ - 1].node); }
    void push(const Node* node, int position) { frames_[depth_++] = {node, position}; }
    void step(int by) {
      while (depth_ > 0) {
        Frame& top = frames_[depth_ - 1];
        top.position += by;
        if (top.position >= 0 && top.position < top.node->count) break;
        --depth_;
      }
      while (depth_ > 0 && !frames_[depth_ - 1].node->leaf) {
        const Frame& top = frames_[depth_ - 1];
        const Node* child = static_cast<const Inner*>(top.node)->children[top.position];
        push(child, by > 0 ? 0 : child->count - 1);
      }
    }
    static constexpr int kDepth = 12;  // at a quarter full, 8^12 keys
    std::array<Frame, kDepth> frames_;
    int depth_ = 0;
  };

  size_t size() const { return size_; }

  bool contains(const K& key) const {
    const Leaf* leaf = nullptr;
    return locate(key, &leaf) >= 0;
  }
  const V* find(const K& key) const
    requires(!std::is_same_v<V, NoValue>)
  {
    const Leaf* leaf = nullptr;
    int position = locate(key, &leaf);
    return position < 0 ? nullptr : &leaf->values.at[position];
  }

  Cursor first() const { return edge(true); }
  Cursor last() const { return edge(false); }
  // The first key not before `key`.
  Cursor lower_bound(const K& key) const {
    Cursor cursor;
    if (top_ == nullptr) return cursor;
    const Node* node = top_;
    while (!node->leaf) {
      auto* inner = static_cast<const Inner*>(node);
      int child = child_of(*inner, key);
      cursor.push(node, child);
      node = inner->children[child];
    }
    auto* leaf = static_cast<const Leaf*>(node);
    int position = place_of(*leaf, key);
    cursor.push(leaf, position);
    if (position == leaf->count) {
      cursor.frames_[cursor.depth_ - 1].position = position - 1;
      cursor.next();
    }
    return cursor;
  }
  // The last key not after `key`.
  Cursor at_or_before(const K& key) const {
    Cursor cursor = lower_bound(key);
    if (!cursor.valid()) return last();
    if (key < cursor.key()) cursor.prev();
    return cursor;
  }

  // Returns true when the key is new; otherwise its value is replaced.
  bool insert(Reclaimer& reclaimer, const K& key, V value = {}) {
    if (top_ == nullptr) top_ = Reclaimer::retain(static_cast<Node*>(new Leaf()));
    Split split;
    bool added = insert_at(reclaimer, top_, key, value, split);
    if (split.right != nullptr) {
      auto* inner = new Inner();
      inner->count = 2;
      inner->children[0] = top_;
      inner->children[1] = split.right;
      inner->keys[1] = std::move(split.key);
      top_ = Reclaimer::retain(static_cast<Node*>(inner));
    }
    size_ += added ? 1 : 0;
    return added;
  }

  // Returns false, and copies nothing, when the key is not there.
  bool erase(Reclaimer& reclaimer, const K& key) {
    if (!contains(key)) return false;
    erase_at(reclaimer, top_, key);
    --size_;
    if (top_->count == 0) {
      reclaimer.release(top_);
      top_ = nullptr;
    } else if (!top_->leaf && top_->count == 1) {
      Node* child = Reclaimer::retain(static_cast<Inner*>(top_)->children[0]);
      reclaimer.release(top_);
      top_ = child;
    }
    return true;
  }

  Tree share() const {
    Reclaimer::retain(top_);
    return *this;
  }
  void release(Reclaimer& reclaimer) {
    reclaimer.release(top_);
    top_ = nullptr;
    size_ = 0;
  }

 private:
  struct Split {
    K key{};
    Node* right = nullptr;
  };

  static int place_of(const Leaf& leaf, const K& key) {
    return static_cast<int>(std::lower_bound(leaf.keys.begin(), leaf.keys.begin() + leaf.count, key) -
                            leaf.keys.begin());
  }
  static int child_of(const Inner& inner, const K& key) {
    return static_cast<int>(std::upper_bound(inner.keys.begin() + 1, inner.keys.begin() + inner.count, key) -
                            inner.keys.begin()) -
           1;
  }
  int locate(const K& key, const Leaf** leaf) const {
    const Node* node = top_;
    if (node == nullptr) return -1;
    while (!node->leaf) {
      auto* inner = static_cast<const Inner*>(node);
      node = inner->children[child_of(*inner, key)];
    }
    *leaf = static_cast<const Leaf*>(node);
    int position = place_of(**leaf, key);
    return position < (*leaf)->count && !(key < (*leaf)->keys[position]) ? position : -1;
  }
  Cursor edge(bool low) const {
    Cursor cursor;
    for (const Node* node = top_; node != nullptr;) {
      int position = low ? 0 : node->count - 1;
      cursor.push(node, position);
      node = node->leaf ? nullptr : static_cast<const Inner*>(node)->children[position];
    }
    return cursor;
  }

  // Makes the node behind `slot` the writer's own. Requires that everything above it already is.
  static void own(Reclaimer& reclaimer, Node*& slot) {
    if (!slot->shared()) return;
    Node* copy;
    if (slot->leaf) {
      copy = new Leaf(*static_cast<Leaf*>(slot));
    } else {
      auto* inner = new Inner(*static_cast<Inner*>(slot));
      for (int i = 0; i < inner->count; ++i) Reclaimer::retain(inner->children[i]);
      copy = inner;
    }
    reclaimer.release(slot);
    slot = Reclaimer::retain(copy);
  }

  static void move_entry(Leaf& to, int at, const Leaf& from, int source) {
    to.keys[at] = from.keys[source];
    to.values.assign(at, from.values, source);
  }
  static void move_entry(Inner& to, int at, const Inner& from, int source) {
    to.keys[at] = from.keys[source];
    to.children[at] = from.children[source];
  }
  template <class N>
  static void open_gap(N& node, int at) {
    for (int i = node.count; i > at; --i) move_entry(node, i, node, i - 1);
    ++node.count;
  }
  template <class N>
  static void close_gap(N& node, int at) {
    for (int i = at; i + 1 < node.count; ++i) move_entry(node, i, node, i + 1);
    --node.count;
  }
  // Moves all entries from `at` on to a new node. Where entries are appended in order (ordinals of one owner), nodes
  // are left full instead of half full.
  template <class N>
  static N* split_off(N& node, int insert_at) {
    int at = insert_at >= kMax * 3 / 4 ? insert_at : kMax / 2;
    auto* right = new N();
    for (int i = at; i < node.count; ++i) move_entry(*right, right->count++, node, i);
    node.count = static_cast<uint16_t>(at);
    return right;
  }

  static bool insert_at(Reclaimer& reclaimer, Node*& slot, const K& key, const V& value, Split& split) {
    own(reclaimer, slot);
    if (slot->leaf) return insert_leaf(static_cast<Leaf&>(*slot), key, value, split);
    auto& inner = static_cast<Inner&>(*slot);
    int child = child_of(inner, key);
    Split below;
    bool added = insert_at(reclaimer, inner.children[child], key, value, below);
    if (below.right == nullptr) return added;
    Inner* into = &inner;
    int at = child + 1;
    if (inner.count == kMax) {
      Inner* right = split_off(inner, at);
      if (right->count == 0) {
        split.key = below.key;
      } else {
        split.key = right->keys[0];
      }
      split.right = Reclaimer::retain(static_cast<Node*>(right));
      if (at >= inner.count) {
        // Where `at` is exactly the cut, the new child may head the right node: its key is then the separator.
        at -= inner.count;
        into = right;
        if (at == 0) split.key = below.key;
      }
    }
    open_gap(*into, at);
    into->keys[at] = std::move(below.key);
    into->children[at] = below.right;
    return added;
  }

  static bool insert_leaf(Leaf& leaf, const K& key, const V& value, Split& split) {
    int at = place_of(leaf, key);
    if (at < leaf.count && !(key < leaf.keys[at])) {
      store(leaf, at, value);
      return false;
    }
    Leaf* into = &leaf;
    if (leaf.count == kMax) {
      Leaf* right = split_off(leaf, at);
      split.right = Reclaimer::retain(static_cast<Node*>(right));
      if (at > leaf.count || (at == leaf.count && right->count == 0)) {
        at -= leaf.count;
        into = right;
      }
    }
    open_gap(*into, at);
    into->keys[at] = key;
    store(*into, at, value);
    if (split.right != nullptr) split.key = static_cast<Leaf*>(split.right)->keys[0];
    return true;
  }
  static void store(Leaf& leaf, int at, const V& value) {
    if constexpr (!std::is_same_v<V, NoValue>) leaf.values.at[at] = value;
  }

  static void erase_at(Reclaimer& reclaimer, Node*& slot, const K& key) {
    own(reclaimer, slot);
    if (slot->leaf) {
      auto& leaf = static_cast<Leaf&>(*slot);
      close_gap(leaf, place_of(leaf, key));
      return;
    }
    auto& inner = static_cast<Inner&>(*slot);
    int child = child_of(inner, key);
    erase_at(reclaimer, inner.children[child], key);
    if (inner.children[child]->count < kMin && inner.count > 1) {
      balance(reclaimer, inner, child > 0 ? child - 1 : 0);
    } else if (inner.children[child]->count == 0) {
      reclaimer.release(inner.children[child]);
      close_gap(inner, child);
    }
  }

  // Children `at` and `at` + 1 become one node, or two of like size.
  static void balance(Reclaimer& reclaimer, Inner& parent, int at) {
    own(reclaimer, parent.children[at]);
    own(reclaimer, parent.children[at + 1]);
    Node& left = *parent.children[at];
    Node& right = *parent.children[at + 1];
    if (left.leaf) {
      level(static_cast<Leaf&>(left), static_cast<Leaf&>(right));
    } else {
      static_cast<Inner&>(right).keys[0] = parent.keys[at + 1];
      level(static_cast<Inner&>(left), static_cast<Inner&>(right));
    }
    if (right.count == 0) {
      reclaimer.release(&right);
      close_gap(parent, at + 1);
    } else {
      parent.keys[at + 1] = right.leaf ? static_cast<Leaf&>(right).keys[0] : static_cast<Inner&>(right).keys[0];
    }
  }
  template <class N>
  static void level(N& left, N& right) {
    int total = left.count + right.count;
    int want = total <= kMax ? total : total / 2;
    while (left.count < want) {
      move_entry(left, left.count++, right, 0);
      close_gap(right, 0);
    }
    while (left.count > want) {
      open_gap(right, 0);
      move_entry(right, 0, left, --left.count);
    }
  }

  Node* top_ = nullptr;
  size_t size_ = 0;
};

}  // namespace steppe::state
