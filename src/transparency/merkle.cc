#include "transparency/merkle.h"

#include <bit>

#include "crypto/sm3.h"

namespace deepmoat::transparency {

namespace {

constexpr std::string_view kLeaf{"\0", 1};
constexpr std::string_view kNode{"\1", 1};

// The self test at start has shown that SM3 is there (crypto/self_test.h); a failure later is one
// of memory, and no hash of it may pass for a right one.
Digest sm3_of(std::initializer_list<std::string_view> parts) {
  std::string joined;
  for (const std::string_view part : parts) {
    joined += part;
  }
  return crypto::sm3(joined).value();
}

// Leaves of the left part: the largest power of two smaller than n. REQUIRES: n > 1.
std::uint64_t left_leaves(std::uint64_t n) {
  return std::bit_floor(n - 1);
}

class Prover {
 public:
  Prover(TreeHash hash, const NodeReader& read) : hash_(hash), read_(read) {}

  // MTH of the leaves [from, from + count). REQUIRES: count > 0, from a multiple of the power of
  // two that is at least count.
  Result<Digest> root(std::uint64_t from, std::uint64_t count) const {
    if (std::has_single_bit(count)) {
      const auto level = static_cast<unsigned>(std::countr_zero(count));
      return read_(level, from >> level);
    }
    const std::uint64_t left = left_leaves(count);
    TRY(const Digest left_root, root(from, left));
    TRY(const Digest right_root, root(from + left, count - left));
    return node_hash(hash_, left_root, right_root);
  }

  // PATH(index, D[from:from+count]), appended to `proof`.
  Result<> path(std::uint64_t index, std::uint64_t from, std::uint64_t count,
                std::vector<Digest>& proof) const {
    if (count == 1) {
      return {};
    }
    const std::uint64_t left = left_leaves(count);
    const bool in_left = index < left;
    CHECK_OK(in_left ? path(index, from, left, proof)
                     : path(index - left, from + left, count - left, proof));
    TRY(const Digest other, in_left ? root(from + left, count - left) : root(from, left));
    proof.push_back(other);
    return {};
  }

  // SUBPROOF(m, D[from:from+count], whole).
  Result<> subproof(std::uint64_t m, std::uint64_t from, std::uint64_t count, bool whole,
                    std::vector<Digest>& proof) const {
    if (m == count) {
      if (!whole) {
        TRY(const Digest known, root(from, count));
        proof.push_back(known);
      }
      return {};
    }
    const std::uint64_t left = left_leaves(count);
    const bool in_left = m <= left;
    CHECK_OK(in_left ? subproof(m, from, left, whole, proof)
                     : subproof(m - left, from + left, count - left, false, proof));
    TRY(const Digest other, in_left ? root(from + left, count - left) : root(from, left));
    proof.push_back(other);
    return {};
  }

 private:
  const TreeHash hash_;
  const NodeReader& read_;
};

}  // namespace

Digest leaf_hash(TreeHash hash, std::string_view leaf_data) {
  return hash == TreeHash::sha256 ? crypto::sha256({kLeaf, leaf_data}) : sm3_of({kLeaf, leaf_data});
}

Digest node_hash(TreeHash hash, const Digest& left, const Digest& right) {
  const std::string_view a = crypto::view(left);
  const std::string_view b = crypto::view(right);
  return hash == TreeHash::sha256 ? crypto::sha256({kNode, a, b}) : sm3_of({kNode, a, b});
}

Digest empty_root(TreeHash hash) {
  return hash == TreeHash::sha256 ? crypto::sha256(std::string_view()) : sm3_of({});
}

Digest root_over(TreeHash hash, std::span<const Digest> nodes) {
  if (nodes.size() == 1) {
    return nodes.front();
  }
  const std::uint64_t left = left_leaves(nodes.size());
  return node_hash(hash, root_over(hash, nodes.first(left)), root_over(hash, nodes.subspan(left)));
}

Result<Digest> root_at(TreeHash hash, std::uint64_t size, const NodeReader& read) {
  if (size == 0) {
    return empty_root(hash);
  }
  return Prover(hash, read).root(0, size);
}

Result<std::vector<Digest>> inclusion_proof(TreeHash hash, std::uint64_t index, std::uint64_t size,
                                            const NodeReader& read) {
  if (index >= size) {
    return fail(Code::invalid_argument, "the record is not in a tree of this size");
  }
  std::vector<Digest> proof;
  CHECK_OK(Prover(hash, read).path(index, 0, size, proof));
  return proof;
}

Result<std::vector<Digest>> consistency_proof(TreeHash hash, std::uint64_t old_size,
                                              std::uint64_t size, const NodeReader& read) {
  if (old_size == 0 || old_size > size) {
    return fail(Code::invalid_argument, "the older tree must have records, and not more of them");
  }
  std::vector<Digest> proof;
  CHECK_OK(Prover(hash, read).subproof(old_size, 0, size, true, proof));
  return proof;
}

bool inclusion_holds(TreeHash hash, const Digest& leaf, std::uint64_t index, std::uint64_t size,
                     std::span<const Digest> proof, const Digest& root) {
  if (index >= size) {
    return false;
  }
  std::uint64_t fn = index;
  std::uint64_t sn = size - 1;
  Digest r = leaf;
  for (const Digest& p : proof) {
    if (sn == 0) {
      return false;
    }
    if ((fn & 1) == 1 || fn == sn) {
      r = node_hash(hash, p, r);
      while ((fn & 1) == 0 && fn != 0) {
        fn >>= 1;
        sn >>= 1;
      }
    } else {
      r = node_hash(hash, r, p);
    }
    fn >>= 1;
    sn >>= 1;
  }
  return sn == 0 && r == root;
}

bool consistency_holds(TreeHash hash, std::uint64_t old_size, std::uint64_t size,
                       std::span<const Digest> proof, const Digest& old_root, const Digest& root) {
  if (old_size == 0 || old_size > size) {
    return false;
  }
  if (old_size == size) {
    return proof.empty() && old_root == root;
  }
  std::vector<Digest> path(proof.begin(), proof.end());
  if (std::has_single_bit(old_size)) {
    path.insert(path.begin(), old_root);
  }
  if (path.empty()) {
    return false;
  }
  std::uint64_t fn = old_size - 1;
  std::uint64_t sn = size - 1;
  while ((fn & 1) == 1) {
    fn >>= 1;
    sn >>= 1;
  }
  Digest fr = path.front();
  Digest sr = path.front();
  for (const Digest& c : std::span(path).subspan(1)) {
    if (sn == 0) {
      return false;
    }
    if ((fn & 1) == 1 || fn == sn) {
      fr = node_hash(hash, c, fr);
      sr = node_hash(hash, c, sr);
      while ((fn & 1) == 0 && fn != 0) {
        fn >>= 1;
        sn >>= 1;
      }
    } else {
      sr = node_hash(hash, sr, c);
    }
    fn >>= 1;
    sn >>= 1;
  }
  return sn == 0 && fr == old_root && sr == root;
}

}  // namespace deepmoat::transparency
