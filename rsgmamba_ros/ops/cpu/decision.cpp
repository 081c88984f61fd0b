// Each pixel's class, from logits that are enlarged on the way and never stored.
#include <vector>

#include "vectors.hpp"

namespace {

typedef uint8_t ByteVector __attribute__((vector_size(kLanes)));
typedef int32_t IndexVector __attribute__((vector_size(4 * kLanes)));

// Where an enlarged coordinate lies between two pixels: bilinear, centres aligned, the border repeated.
struct Place {
  int64_t low, high;
  float share;  // of `high`
  Place(int64_t at, int64_t small, int64_t large) {
    const float centre = (at + 0.5f) * ((float)small / large) - 0.5f, source = centre < 0 ? 0 : centre;
    low = (int64_t)source < small - 1 ? (int64_t)source : small - 1;
    high = low + (low < small - 1);
    share = source - low;
  }
};

// The same for kLanes neighbouring columns: lanes to pick out of two vectors that begin at `first`.
struct Columns {
  int64_t first;
  IndexVector low, high;
  Vector share;
};

std::vector<Columns> column_places(int64_t small, int64_t large) {
  std::vector<Columns> places((large + kLanes - 1) / kLanes);
  for (int64_t x = 0; x < (int64_t)places.size() * kLanes; ++x) {
    Columns& columns = places[x / kLanes];
    const Place place(x < large ? x : large - 1, small, large);
    const int lane = x % kLanes;
    if (lane == 0) columns.first = place.low;
    columns.low[lane] = place.low - columns.first;
    columns.high[lane] = place.high - columns.first;
    columns.share[lane] = place.share;
  }
  return places;
}

inline Vector pick(Vector a, Vector b, IndexVector lanes) {
#if defined(__clang__)
  float both[2 * kLanes];
  narrow(both, a);
  narrow(both + kLanes, b);
  Vector picked;
  for (int i = 0; i < kLanes; ++i) picked[i] = both[lanes[i]];
  return picked;
#else
  return __builtin_shuffle(a, b, lanes);
#endif
}

// kLanes pixels of one row of enlarged logits, (K, pitch): the greatest, whose it is, and 1 / sum exp(l - greatest).
inline void decide_columns(const float* row, int64_t classes, int64_t pitch, const Columns& columns, Vector* values,
                           IndexVector* label, Vector* confidence) {
  Vector greatest = splat(-__builtin_inff());
  *label = IndexVector{};
  for (int64_t k = 0; k < classes; ++k) {
    const float* start = row + k * pitch + columns.first;
    const Vector a = widen(start), b = widen(start + kLanes);
    const Vector low = pick(a, b, columns.low), high = pick(a, b, columns.high);
    values[k] = low + columns.share * (high - low);
    const IndexVector is_greater = values[k] > greatest;
    greatest = is_greater ? values[k] : greatest;
    *label = is_greater ? IndexVector{} + (int32_t)k : *label;
  }
  Vector sum = {};
  for (int64_t k = 0; k < classes; ++k) sum += exp2((values[k] - greatest) * kLog2E);
  *confidence = reciprocal(sum);
}

}  // namespace

// logits (K, h, w) -> labels and confidence (0..255 for 0..1), (H, W), H >= h, W >= w, K <= 256.
extern "C" void decide(const float* logits, int64_t classes, int64_t h, int64_t w, int64_t H, int64_t W,
                       uint8_t* labels, uint8_t* confidences, int threads) {
  const std::vector<Columns> places = column_places(w, W);
  const int64_t pitch = w + 2 * kLanes;  // a pick may read so far beyond the row
  const float magic = 8388608.0f;        // 2^23: adding it rounds, ties to even
#pragma omp parallel num_threads(threads)
  {
    std::vector<float> row(classes * pitch);
    std::vector<Vector> values(classes);
#pragma omp for
    for (int64_t y = 0; y < H; ++y) {
      const Place place(y, h, H);
      for (int64_t k = 0; k < classes; ++k) {
        const float *low = logits + (k * h + place.low) * w, *high = logits + (k * h + place.high) * w;
        for (int64_t x = 0; x < w; ++x) row[k * pitch + x] = low[x] + place.share * (high[x] - low[x]);
      }
      for (size_t block = 0; block < places.size(); ++block) {
        IndexVector label;
        Vector confidence;
        decide_columns(row.data(), classes, pitch, places[block], values.data(), &label, &confidence);
        const WordVector rounded = (WordVector)(confidence * 255.0f + magic) & 0xff;
        const ByteVector label_bytes = __builtin_convertvector(label, ByteVector);
        const ByteVector confidence_bytes = __builtin_convertvector(rounded, ByteVector);
        const int64_t at = block * kLanes, count = W - at < kLanes ? W - at : kLanes;
        std::memcpy(labels + y * W + at, &label_bytes, count);
        std::memcpy(confidences + y * W + at, &confidence_bytes, count);
      }
    }
  }
}
