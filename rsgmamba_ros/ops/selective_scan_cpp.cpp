// Selective scan on a CPU, forward and backward, channels last.
//
// B batch, K directions, L scan length, C channels of one direction, N states, R rank of the step's projection.
// One task owns 32 channels of one batch item and walks all directions, so that sums over directions need no
// locks; vectors run over channels, hence the maps are read in any direction without transposing them.
//
//   u         (B, L, C) shared by all directions, or (B, L, K*C)
//   delta     (B, L, K*C), or null: then delta = dt_weight @ projected[:R]
//   projected (B, L, K, R + 2N), float32: step (R), B (N), C (N) at a pixel, whatever order the direction visits it in
//   order     (K, L): the pixel that direction k visits at step l
//   states    (B, K, tiles, C, N): the state before each tile of kTile steps, what the backward starts from
#include <cstdint>
#include <cstring>
#include <vector>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif
constexpr int kBlock = 32;               // channels of a task
constexpr int kVectors = kBlock / kLanes;
constexpr int kTile = 32;                // steps between saved states
constexpr int kAhead = 6;                // steps that memory is asked for in advance

typedef float Vector __attribute__((vector_size(4 * kLanes)));
typedef uint32_t WordVector __attribute__((vector_size(4 * kLanes)));
typedef uint16_t HalfVector __attribute__((vector_size(2 * kLanes)));
typedef float LooseVector __attribute__((vector_size(4 * kLanes), aligned(4), may_alias));  // in memory, anywhere
typedef uint16_t LooseHalfVector __attribute__((vector_size(2 * kLanes), aligned(2), may_alias));

struct BFloat16 { uint16_t bits; };

inline Vector splat(float value) { return Vector{} + value; }

inline Vector widen(const float* p) { return *(const LooseVector*)p; }
inline Vector widen(const BFloat16* p) {
  const HalfVector bits = *(const LooseHalfVector*)p;
  return (Vector)(__builtin_convertvector(bits, WordVector) << 16);
}
inline void narrow(float* p, Vector value) { *(LooseVector*)p = value; }
inline void narrow(BFloat16* p, Vector value) {
  const WordVector words = (WordVector)value;
  const WordVector rounded = (words + 0x7fff + ((words >> 16) & 1)) >> 16;  // to nearest, ties to even
  *(LooseHalfVector*)p = __builtin_convertvector(rounded, HalfVector);
}

// A row of kBlock channels; `count` of them exist, the others read as 0 and are not written.
template <class T>
inline void load_row(const T* p, int count, Vector* row) {
  if (count == kBlock) {
    for (int v = 0; v < kVectors; ++v) row[v] = widen(p + v * kLanes);
    return;
  }
  T padded[kBlock] = {};
  std::memcpy(padded, p, count * sizeof(T));
  for (int v = 0; v < kVectors; ++v) row[v] = widen(padded + v * kLanes);
}
template <class T>
inline void store_row(T* p, int count, const Vector* row) {
  if (count == kBlock) {
    for (int v = 0; v < kVectors; ++v) narrow(p + v * kLanes, row[v]);
    return;
  }
  T padded[kBlock];
  for (int v = 0; v < kVectors; ++v) narrow(padded + v * kLanes, row[v]);
  std::memcpy(p, padded, count * sizeof(T));
}

// 2^x to a relative error of 2e-7, 0 for what is too small for a normal number. Minimax polynomial on [-1/2, 1/2].
inline Vector exp2(Vector x) {
#if defined(__AVX512F__)
  const Vector whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
  const Vector low = splat(-127.0f), high = splat(127.0f), magic = splat(12582912.0f);  // 1.5 * 2^23: rounds
  x = x < low ? low : x;
  x = x > high ? high : x;
  const Vector biased = x + magic, whole = biased - magic;
#endif
  const Vector rest = x - whole;
  Vector value = splat(1.327647199e-3f);
  value = value * rest + 9.675541334e-3f;
  value = value * rest + 5.550713273e-2f;
  value = value * rest + 2.402211972e-1f;
  value = value * rest + 6.931469671e-1f;
  value = value * rest + 1.0f;
#if defined(__AVX512F__)
  return _mm512_scalef_ps(value, whole);
#else
  const Vector power = (Vector)(((WordVector)biased + 127) << 23);  // the magic's low bits are 0: 2^whole
  return value * power;
#endif
}

// log(1 + e) / e for e in [0, 1], relative error 3e-8. Minimax polynomial.
inline Vector log1p_ratio(Vector e) {
  Vector value = splat(5.232694302e-3f);
  value = value * e - 2.950523893e-2f;
  value = value * e + 7.822595212e-2f;
  value = value * e - 1.366324581e-1f;
  value = value * e + 1.910600677e-1f;
  value = value * e - 2.484298222e-1f;
  value = value * e + 3.331909681e-1f;
  value = value * e - 4.999949314e-1f;
  return value * e + 9.999999699e-1f;
}

constexpr float kLog2E = 1.44269504088896341f, kLn2 = 0.693147180559945309f;

// log(1 + 2^x), accurate where the result is small too; `slope` is the derivative by x ln 2.
inline Vector softplus2(Vector x, Vector* slope) {
  const Vector zero = {};
  const Vector positive = x > zero ? x : zero;
  const Vector e = exp2(x - positive - positive);  // of -|x|, exactly
  if (slope) {
    const Vector inverse = 1.0f / (e + 1.0f);
    *slope = x < zero ? e * inverse : inverse;
  }
  return e * log1p_ratio(e) + positive * kLn2;
}

inline float total(const Vector* row) {
  Vector sum = row[0];
  for (int v = 1; v < kVectors; ++v) sum += row[v];
#if defined(__GNUC__) && !defined(__clang__)
  WordVector lanes;
  for (int i = 0; i < kLanes; ++i) lanes[i] = i;
  for (int half = kLanes / 2; half; half /= 2) sum += __builtin_shuffle(sum, lanes ^ half);
  return sum[0];
#else
  float value = 0;
  for (int i = 0; i < kLanes; ++i) value += sum[i];
  return value;
#endif
}

struct Sizes {
  int64_t batch, directions, length, channels, states, rank;
  int64_t shared;    // u and y are one map for all directions
  int64_t softplus;
  int64_t blocks() const { return (channels + kBlock - 1) / kBlock; }
  int64_t tiles() const { return (length + kTile - 1) / kTile; }
  int64_t width() const { return rank + 2 * states; }               // of one row of `projected`
  int64_t pixel() const { return shared ? channels : directions * channels; }
};

struct Weights {
  const float *dt_weight, *dt_bias, *A, *D;  // (K, C, R), (K, C), (K, C, N), (K, C)
};

// The weights of one block of channels, vectors over channels, absent channels 0. Exponents are to the base 2: A, and
// with softplus the step before it, come multiplied by log2(e).
struct BlockWeights {
  std::vector<Vector> dt_weight, A;  // [R][kVectors], [N][kVectors]
  float step_unit;                   // 1 / the factor in dt_weight
  Vector bias[kVectors], D[kVectors];

  BlockWeights(const Sizes& z, const Weights& w, int64_t k, int64_t first, int count)
      : dt_weight(z.rank * kVectors), A(z.states * kVectors), step_unit(z.softplus ? kLn2 : 1.0f) {
    const float scale = z.softplus ? kLog2E : 1.0f;
    for (int c = 0; c < kBlock; ++c) {
      const int64_t channel = k * z.channels + first + c;
      const int v = c / kLanes, lane = c % kLanes;
      const bool real = c < count;
      bias[v][lane] = real ? w.dt_bias[channel] * scale : 0;
      D[v][lane] = real ? w.D[channel] : 0;
      for (int64_t r = 0; r < z.rank; ++r)
        dt_weight[r * kVectors + v][lane] = real ? w.dt_weight[channel * z.rank + r] * scale : 0;
      for (int64_t n = 0; n < z.states; ++n)
        A[n * kVectors + v][lane] = real ? w.A[channel * z.states + n] * kLog2E : 0;
    }
  }
};

template <class T>
inline void step_sizes(const Sizes& z, const BlockWeights& w, const float* row, const T* delta, int count,
                       Vector* step, Vector* slope) {
  for (int v = 0; v < kVectors; ++v) step[v] = w.bias[v];
  if (delta) {
    Vector given[kVectors];
    load_row(delta, count, given);
    for (int v = 0; v < kVectors; ++v) step[v] += given[v] * (z.softplus ? kLog2E : 1.0f);
  }
  for (int64_t r = 0; r < z.rank; ++r) {
    const float factor = row[r];
    for (int v = 0; v < kVectors; ++v) step[v] += w.dt_weight[r * kVectors + v] * factor;
  }
  for (int v = 0; v < kVectors; ++v) {
    if (z.softplus) step[v] = softplus2(step[v], slope ? slope + v : nullptr);
    else if (slope) slope[v] = splat(1.0f);
  }
}

// kStates is N where it is known to the compiler (the state then stays in registers), else 0.
template <class T, int kStates>
void forward_block(const Sizes& z, const BlockWeights& w, int64_t k, int count, const T* u, const T* delta,
                   const float* projected, const int32_t* order, float* sum, T* y, float* saved) {
  const int64_t states = kStates ? kStates : z.states;
  const int64_t row_stride = z.directions * z.width(), delta_stride = z.directions * z.channels;
  const bool first = !z.shared || k == 0, last = !z.shared || k == z.directions - 1;
  Vector fixed[kStates ? kStates * kVectors : 1];
  std::vector<Vector> grown(kStates ? 0 : states * kVectors);
  Vector* h = kStates ? fixed : grown.data();
  for (int64_t i = 0; i < states * kVectors; ++i) h[i] = Vector{};
  for (int64_t l = 0; l < z.length; ++l) {
    if (saved && l % kTile == 0) {
      for (int64_t n = 0; n < states; ++n) {
        float values[kBlock];
        for (int v = 0; v < kVectors; ++v) narrow(values + v * kLanes, h[n * kVectors + v]);
        for (int c = 0; c < count; ++c) saved[(l / kTile * z.channels + c) * states + n] = values[c];
      }
    }
    const int64_t p = order[l];
    const int64_t soon = order[l + kAhead < z.length ? l + kAhead : l];
    __builtin_prefetch(u + soon * z.pixel());
    __builtin_prefetch(u + soon * z.pixel() + 64 / sizeof(T));
    __builtin_prefetch(projected + soon * row_stride);
    if (!first) __builtin_prefetch(sum + soon * kBlock, 1);
    if (!first) __builtin_prefetch(sum + soon * kBlock + 16, 1);
    const float* row = projected + p * row_stride;
    Vector step[kVectors], input[kVectors], out[kVectors];
    step_sizes(z, w, row, delta ? delta + p * delta_stride : nullptr, count, step, (Vector*)nullptr);
    load_row(u + p * z.pixel(), count, input);
    for (int v = 0; v < kVectors; ++v) out[v] = w.D[v] * input[v];
    for (int64_t n = 0; n < states; ++n) {
      const float b = row[z.rank + n], c = row[z.rank + states + n];
      for (int v = 0; v < kVectors; ++v) {
        Vector& state = h[n * kVectors + v];
        state = exp2(step[v] * w.A[n * kVectors + v]) * state + step[v] * input[v] * b;
        out[v] += state * c;
      }
    }
    float* total_row = sum + p * kBlock;
    if (!first) for (int v = 0; v < kVectors; ++v) out[v] += widen(total_row + v * kLanes);
    if (last) store_row(y + p * z.pixel(), count, out);
    else for (int v = 0; v < kVectors; ++v) narrow(total_row + v * kLanes, out[v]);
  }
}

template <class T>
void forward(const Sizes& z, const Weights& weights, const T* u, const T* delta, const float* projected,
             const int32_t* order, T* y, float* states, int threads) {
#pragma omp parallel num_threads(threads)
  {
    std::vector<float> sum(z.shared && z.directions > 1 ? z.length * kBlock : 0);
#pragma omp for schedule(dynamic)
    for (int64_t task = 0; task < z.batch * z.blocks(); ++task) {
      const int64_t b = task / z.blocks(), first = task % z.blocks() * kBlock;
      const int count = int(z.channels - first < kBlock ? z.channels - first : kBlock);
      for (int64_t k = 0; k < z.directions; ++k) {
        const BlockWeights w(z, weights, k, first, count);
        const int64_t offset = b * z.length * z.pixel() + (z.shared ? 0 : k * z.channels) + first;
        const T* step = delta ? delta + (b * z.length * z.directions + k) * z.channels + first : nullptr;
        const float* rows = projected + (b * z.length * z.directions + k) * z.width();
        float* saved = states ? states + ((b * z.directions + k) * z.tiles() * z.channels + first) * z.states : nullptr;
        auto run = z.states == 1 ? forward_block<T, 1> : z.states == 4 ? forward_block<T, 4> : forward_block<T, 0>;
        run(z, w, k, count, u + offset, step, rows, order + k * z.length, sum.data(), y + offset, saved);
      }
    }
  }
}

struct Gradients {
  float* u;          // as u
  float* delta;      // as delta, or null
  float* projected;  // (B, blocks, L, K, R + 2N), to be summed over the blocks
  float *dt_weight, *bias, *A, *D;  // (B, K, C, R), (B, K, C), (B, K, C, N), (B, K, C), to be summed over the batch
};

struct BlockGradients {
  float *u, *delta, *projected;
  std::vector<Vector> A, dt_weight;
  Vector bias[kVectors] = {}, D[kVectors] = {};
};

// One tile of steps: what the reverse walk needs of the forward one.
struct Tape {
  std::vector<Vector> input, step, slope, decay, h;
  explicit Tape(int64_t states)
      : input(kTile * kVectors), step(kTile * kVectors), slope(kTile * kVectors),
        decay(kTile * states * kVectors), h((kTile + 1) * states * kVectors) {}
};

template <class T>
void replay_tile(const Sizes& z, const BlockWeights& w, int count, const T* u, const T* delta, const float* projected,
                 const int32_t* order, int64_t begin, int64_t end, const float* saved, Tape& tape) {
  const int64_t states = z.states, rows = states * kVectors;
  for (int64_t n = 0; n < states; ++n) {
    float values[kBlock] = {};
    for (int c = 0; c < count; ++c) values[c] = saved[(begin / kTile * z.channels + c) * states + n];
    for (int v = 0; v < kVectors; ++v) tape.h[n * kVectors + v] = widen(values + v * kLanes);
  }
  for (int64_t l = begin; l < end; ++l) {
    const int64_t t = l - begin, p = order[l];
    const float* row = projected + p * z.directions * z.width();
    Vector *step = &tape.step[t * kVectors], *input = &tape.input[t * kVectors];
    step_sizes(z, w, row, delta ? delta + p * z.directions * z.channels : nullptr, count, step,
               &tape.slope[t * kVectors]);
    load_row(u + p * z.pixel(), count, input);
    for (int64_t n = 0; n < states; ++n) {
      const float b = row[z.rank + n];
      for (int v = 0; v < kVectors; ++v) {
        const int64_t i = n * kVectors + v;
        const Vector decay = exp2(step[v] * w.A[i]);
        tape.decay[t * rows + i] = decay;
        tape.h[(t + 1) * rows + i] = decay * tape.h[t * rows + i] + step[v] * input[v] * b;
      }
    }
  }
}

template <class T>
void reverse_tile(const Sizes& z, const BlockWeights& w, int count, const T* dy, const float* projected,
                  const int32_t* order, int64_t begin, int64_t end, const Tape& tape, Vector* carry,
                  BlockGradients& g) {
  const int64_t states = z.states, rows = states * kVectors;
  for (int64_t l = end - 1; l >= begin; --l) {
    const int64_t t = l - begin, p = order[l];
    const float* row = projected + p * z.directions * z.width();
    const Vector *step = &tape.step[t * kVectors], *input = &tape.input[t * kVectors];
    Vector out[kVectors], du[kVectors], dstep[kVectors];
    load_row(dy + p * z.pixel(), count, out);
    for (int v = 0; v < kVectors; ++v) {
      du[v] = w.D[v] * out[v];
      dstep[v] = Vector{};
      g.D[v] += out[v] * input[v];
    }
    float* drow = g.projected + p * z.directions * z.width();
    for (int64_t n = 0; n < states; ++n) {
      const float b = row[z.rank + n], c = row[z.rank + states + n];
      Vector db[kVectors], dc[kVectors];
      for (int v = 0; v < kVectors; ++v) {
        const int64_t i = n * kVectors + v;
        const Vector lambda = carry[i] + out[v] * c;  // gradient of the state after this step
        dc[v] = out[v] * tape.h[(t + 1) * rows + i];
        const Vector driven = lambda * input[v];
        db[v] = driven * step[v];
        carry[i] = lambda * tape.decay[t * rows + i];
        const Vector faded = carry[i] * tape.h[t * rows + i];
        dstep[v] += driven * b + faded * w.A[i] * kLn2;
        du[v] += lambda * step[v] * b;
        g.A[i] += faded * step[v];
      }
      drow[z.rank + n] = total(db);
      drow[z.rank + states + n] = total(dc);
    }
    for (int v = 0; v < kVectors; ++v) {
      dstep[v] *= tape.slope[t * kVectors + v];
      g.bias[v] += dstep[v];
    }
    if (g.delta) store_row(g.delta + p * z.directions * z.channels, count, dstep);
    for (int64_t r = 0; r < z.rank; ++r) {
      const float factor = row[r];
      Vector part[kVectors];
      for (int v = 0; v < kVectors; ++v) {
        part[v] = dstep[v] * w.dt_weight[r * kVectors + v];
        g.dt_weight[r * kVectors + v] += dstep[v] * factor;
      }
      drow[r] = total(part) * w.step_unit;
    }
    Vector sum[kVectors];
    load_row(g.u + p * z.pixel(), count, sum);
    for (int v = 0; v < kVectors; ++v) sum[v] += du[v];
    store_row(g.u + p * z.pixel(), count, sum);
  }
}

template <class T>
void backward(const Sizes& z, const Weights& weights, const T* u, const T* delta, const float* projected, const T* dy,
              const int32_t* order, const float* states, const Gradients& gradients, int threads) {
#pragma omp parallel for schedule(dynamic) num_threads(threads)
  for (int64_t task = 0; task < z.batch * z.blocks(); ++task) {
    const int64_t b = task / z.blocks(), block = task % z.blocks(), first = block * kBlock;
    const int count = int(z.channels - first < kBlock ? z.channels - first : kBlock);
    Tape tape(z.states);
    std::vector<Vector> carry(z.states * kVectors);
    for (int64_t k = 0; k < z.directions; ++k) {
      const BlockWeights w(z, weights, k, first, count);
      const int64_t pair = b * z.directions + k;
      const int64_t offset = b * z.length * z.pixel() + (z.shared ? 0 : k * z.channels) + first;
      const int64_t given = (b * z.length * z.directions + k) * z.channels + first;
      const T* step = delta ? delta + given : nullptr;
      const float* rows = projected + (b * z.length * z.directions + k) * z.width();
      const float* saved = states + (pair * z.tiles() * z.channels + first) * z.states;
      BlockGradients g;
      g.A.assign(z.states * kVectors, Vector{});
      g.dt_weight.assign(z.rank * kVectors, Vector{});
      g.u = gradients.u + offset;
      g.delta = delta ? gradients.delta + given : nullptr;
      g.projected = gradients.projected + ((b * z.blocks() + block) * z.length * z.directions + k) * z.width();
      for (Vector& value : carry) value = Vector{};
      for (int64_t tile = z.tiles() - 1; tile >= 0; --tile) {
        const int64_t begin = tile * kTile, end = begin + kTile < z.length ? begin + kTile : z.length;
        const int32_t* visit = order + k * z.length;
        replay_tile(z, w, count, u + offset, step, rows, visit, begin, end, saved, tape);
        reverse_tile(z, w, count, dy + offset, rows, visit, begin, end, tape, carry.data(), g);
      }
      for (int c = 0; c < count; ++c) {
        const int v = c / kLanes, lane = c % kLanes;
        const int64_t channel = pair * z.channels + first + c;
        gradients.bias[channel] = g.bias[v][lane];
        gradients.D[channel] = g.D[v][lane];
        for (int64_t r = 0; r < z.rank; ++r)
          gradients.dt_weight[channel * z.rank + r] = g.dt_weight[r * kVectors + v][lane];
        for (int64_t n = 0; n < z.states; ++n) gradients.A[channel * z.states + n] = g.A[n * kVectors + v][lane];
      }
    }
  }
}

}  // namespace

extern "C" {

int selective_scan_tile() { return kTile; }
int selective_scan_block() { return kBlock; }

void selective_scan_forward(const int64_t* sizes, int bfloat16, const void* u, const void* delta,
                            const float* projected, const float* dt_weight, const float* dt_bias, const float* A,
                            const float* D, const int32_t* order, void* y, float* states, int threads) {
  const Sizes z{sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], sizes[6], sizes[7]};
  const Weights w{dt_weight, dt_bias, A, D};
  if (bfloat16)
    forward(z, w, (const BFloat16*)u, (const BFloat16*)delta, projected, order, (BFloat16*)y, states,
            threads);
  else
    forward(z, w, (const float*)u, (const float*)delta, projected, order, (float*)y, states, threads);
}

void selective_scan_backward(const int64_t* sizes, int bfloat16, const void* u, const void* delta,
                             const float* projected, const float* dt_weight, const float* dt_bias, const float* A,
                             const float* D, const int32_t* order, const void* dy, const float* states, float* du,
                             float* ddelta, float* dprojected, float* ddt_weight, float* dbias, float* dA, float* dD,
                             int threads) {
  const Sizes z{sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], sizes[6], sizes[7]};
  const Weights w{dt_weight, dt_bias, A, D};
  const Gradients g{du, ddelta, dprojected, ddt_weight, dbias, dA, dD};
  if (bfloat16)
    backward(z, w, (const BFloat16*)u, (const BFloat16*)delta, projected, (const BFloat16*)dy, order,
             states, g, threads);
  else
    backward(z, w, (const float*)u, (const float*)delta, projected, (const float*)dy, order, states, g,
             threads);
}

}  // extern "C"
