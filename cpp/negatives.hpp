// Negatives drawn from a catalogue: evenly or by an alias table (Vose 1991), without what the group has chosen, and a share
// of them from a list of the choice's own.
// Counter-based: the draw depends on (seed, position, number) alone, so neither threads nor blocks change it.
#pragma once

#include <cstdint>

namespace crossfm {

constexpr int kTries = 11;  // to find an unseen negative; users who saw nearly everything lose it

constexpr uint32_t kNoItem = 0xffffffffu;  // where a list is shorter than the others

constexpr uint64_t kGolden = 0x9e3779b97f4a7c15ull;

// The finaliser of SplitMix64 (Steele, Lea, Flood 2014), of a number or of a vector of numbers.
template <class T>
[[gnu::always_inline]] inline T mix64(T z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

struct Negatives {
  int64_t n_items;
  const float* keep;  // (n_items,) chance to keep the column of the alias table; null: all items alike
  const uint32_t* alias;  // (n_items,) the item that stands for the rest of the column
  const int64_t* positive;  // (n_choices,)
  const int64_t* group;  // (n_choices,) or null: only the own positive is left out
  const int64_t* indptr;  // (n_groups + 1,): what each group has chosen,
  const uint32_t* chosen;  // sorted inside the group
  const uint32_t* bits;  // (n_groups, words) or null: the same, a bit for each item
  int64_t words;
  uint64_t seed;
  const uint32_t* hard;  // (n_lists, hard_width) or null: items that stood high for a query
  const int64_t* hard_list;  // (n_choices,) the list of each; -1: none
  int64_t hard_width;
  uint64_t hard_share;  // of 2^32 draws

  [[gnu::always_inline]] const uint32_t* word_of(int64_t choice, uint32_t item) const {
    return bits + group[choice] * words + item / 32;
  }

  [[gnu::always_inline]] bool is_chosen(int64_t choice, uint32_t item) const {
    if (!group) return positive[choice] == item;
    if (bits) return *word_of(choice, item) >> item % 32 & 1;
    const uint32_t* first = chosen + indptr[group[choice]];
    int64_t n = indptr[group[choice] + 1] - indptr[group[choice]];
    if (n == 0) return false;
    while (n > 1) {  // binary search without branches to guess: a wrong guess costs more than the step
      const int64_t half = n / 2;
      first += half * (first[half - 1] < item);
      n -= half;
    }
    return *first == item;
  }

  // Fetch what a visit reads of a choice far ahead, and of its group a little later.
  [[gnu::always_inline]] void prefetch_choice(int64_t choice) const {
    __builtin_prefetch(positive + choice);
    if (group) __builtin_prefetch(group + choice);
  }
  [[gnu::always_inline]] void prefetch_group(int64_t choice) const {
    if (!group || bits) return;
    constexpr int64_t most = 32 * 16;  // 32 cache lines; longer lists are rare
    const int64_t start = indptr[group[choice]], end = indptr[group[choice] + 1];
    for (int64_t at = start; at < end && at < start + most; at += 16) __builtin_prefetch(chosen + at);
  }

  // Where the numbers of a position come from.
  [[gnu::always_inline]] uint64_t stream(int64_t position) const {
    return mix64(seed + kGolden * static_cast<uint64_t>(position + 1));
  }

  // The item for a random column of the alias table, with 32 more random bits in the lower half of z.
  [[gnu::always_inline]] uint32_t kept(uint32_t column, uint64_t z) const {
    if (!keep || static_cast<float>(static_cast<uint32_t>(z) >> 8) * 0x1p-24f < keep[column]) return column;
    return alias[column];
  }

  // Item `number` drawn from a stream, chosen or not.
  [[gnu::always_inline]] uint32_t item(uint64_t from, int64_t number) const {
    const uint64_t z = mix64(from + kGolden * static_cast<uint64_t>(number + 1));
    return kept(static_cast<uint32_t>((z >> 32) * static_cast<uint64_t>(n_items) >> 32), z);
  }

  // Negative `number` of `choice` where its list gives one, else -1.
  [[gnu::always_inline]] int64_t draw_hard(uint64_t from, int64_t choice, int64_t number) const {
    if (!hard || hard_list[choice] < 0) return -1;
    const uint64_t z = mix64(~from + kGolden * static_cast<uint64_t>(number + 1));
    if ((z & 0xffffffffu) >= hard_share) return -1;
    const uint64_t at = (z >> 32) * static_cast<uint64_t>(hard_width) >> 32;
    const uint32_t drawn = hard[hard_list[choice] * hard_width + static_cast<int64_t>(at)];
    return drawn == kNoItem || is_chosen(choice, drawn) ? -1 : static_cast<int64_t>(drawn);
  }

  // Negative `number` of `choice`, the one at `position` of the pass; -1 when none was found.
  [[gnu::always_inline]] int64_t draw(int64_t choice, int64_t position, int64_t number) const {
    const uint64_t from = stream(position);
    if (const int64_t drawn = draw_hard(from, choice, number); drawn >= 0) return drawn;
    for (int k = 0; k < kTries; ++k) {
      const uint32_t drawn = item(from, number * kTries + k);
      if (!is_chosen(choice, drawn)) return drawn;
    }
    return -1;
  }
};

}  // namespace crossfm
