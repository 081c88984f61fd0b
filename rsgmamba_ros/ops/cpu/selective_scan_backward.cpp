// The selective scan's backward kernel; see the header for shapes. It walks the tiles of steps from the last to the
// first: within one, the states are computed again from the saved one, then the gradients backwards.
#include <memory>

#include "selective_scan.hpp"

namespace {

struct Gradients {
  float *u, *delta;      // as u and delta (or null)
  float* projected;      // as projected
  float *dt_weight, *bias, *A, *D;
};

// Sums that several tasks contribute to, kept apart until all are done.
struct Parts {
  std::unique_ptr<float[]> projected;                // (B, blocks, L, K, R + 2N)
  std::unique_ptr<float[]> dt_weight, bias, A, D;    // (B, K, C, R), (B, K, C), (B, K, C, N), (B, K, C)
  Parts(const Sizes& z, int64_t blocks)
      : projected(new float[z.batch * blocks * z.length * z.directions * z.width()]),
        dt_weight(new float[rows(z) * z.rank]), bias(new float[rows(z)]), A(new float[rows(z) * z.states]),
        D(new float[rows(z)]) {}
  static int64_t rows(const Sizes& z) { return z.batch * z.directions * z.channels; }
};

struct Arguments {
  Weights weights;
  const float *u, *delta, *projected, *dy;
  const int32_t* order;
  const float* states;
  Gradients gradients;
};

// One direction of one block: its views of the tensors, and its sums over the steps.
template <int V>
struct Direction {
  const float *u, *delta, *dy, *projected, *saved;
  const int32_t* order;
  float *du, *ddelta, *dprojected;
  std::vector<Vector> dA, ddt_weight, carry;
  Vector dbias[V] = {}, dD[V] = {};
  explicit Direction(const Sizes& z) : dA(z.states * V), ddt_weight(z.rank * V), carry(z.states * V) {}
};

// One tile of steps: what the walk back needs of the walk forward.
template <int V>
struct Tape {
  std::vector<Vector> input, step, slope, decay, h;
  explicit Tape(int64_t states)
      : input(kTile * V), step(kTile * V), slope(kTile * V), decay(kTile * states * V), h((kTile + 1) * states * V) {}
};

template <int V>
void replay_tile(const Sizes& z, const BlockWeights<V>& w, const Direction<V>& d, int64_t count, int64_t begin,
                 int64_t end, Tape<V>& tape) {
  const int64_t rows = z.states * V;
  for (int64_t n = 0; n < z.states; ++n)
    load_row<V>(d.saved + (begin / kTile * z.states + n) * z.channels, count, &tape.h[n * V]);
  for (int64_t l = begin; l < end; ++l) {
    const int64_t t = l - begin, p = d.order[l];
    const float* row = d.projected + p * z.directions * z.width();
    Vector *step = &tape.step[t * V], *input = &tape.input[t * V];
    step_sizes<V>(z, w, row, d.delta ? d.delta + p * z.directions * z.channels : nullptr, count, step,
                  &tape.slope[t * V]);
    load_row<V>(d.u + p * z.pixel(), count, input);
    for (int64_t n = 0; n < z.states; ++n) {
      for (int v = 0; v < V; ++v) {
        const int64_t i = n * V + v;
        const Vector decay = exp2(step[v] * w.A[i]);
        tape.decay[t * rows + i] = decay;
        tape.h[(t + 1) * rows + i] = decay * tape.h[t * rows + i] + step[v] * input[v] * row[z.rank + n];
      }
    }
  }
}

template <int V>
inline float total_row(const Vector* row) {
  Vector sum = row[0];
  for (int v = 1; v < V; ++v) sum += row[v];
  return total(sum);
}

template <int V>
void reverse_tile(const Sizes& z, const BlockWeights<V>& w, Direction<V>& d, int64_t count, int64_t begin,
                  int64_t end, const Tape<V>& tape) {
  const int64_t rows = z.states * V;
  for (int64_t l = end - 1; l >= begin; --l) {
    const int64_t t = l - begin, p = d.order[l];
    const float* row = d.projected + p * z.directions * z.width();
    float* drow = d.dprojected + p * z.directions * z.width();
    const Vector *step = &tape.step[t * V], *input = &tape.input[t * V];
    Vector out[V], du[V], dstep[V];
    load_row<V>(d.dy + p * z.pixel(), count, out);
    for (int v = 0; v < V; ++v) {
      du[v] = w.D[v] * out[v];
      dstep[v] = Vector{};
      d.dD[v] += out[v] * input[v];
    }
    for (int64_t n = 0; n < z.states; ++n) {
      const float b = row[z.rank + n], c = row[z.rank + z.states + n];
      Vector db[V], dc[V];
      for (int v = 0; v < V; ++v) {
        const int64_t i = n * V + v;
        const Vector lambda = d.carry[i] + out[v] * c;  // gradient of the state after this step
        dc[v] = out[v] * tape.h[(t + 1) * rows + i];
        const Vector driven = lambda * input[v];
        db[v] = driven * step[v];
        d.carry[i] = lambda * tape.decay[t * rows + i];
        const Vector faded = d.carry[i] * tape.h[t * rows + i];
        dstep[v] += driven * b + faded * w.A[i] * kLn2;
        du[v] += lambda * step[v] * b;
        d.dA[i] += faded * step[v];
      }
      drow[z.rank + n] = total_row<V>(db);
      drow[z.rank + z.states + n] = total_row<V>(dc);
    }
    for (int v = 0; v < V; ++v) {
      dstep[v] *= tape.slope[t * V + v];
      d.dbias[v] += dstep[v];
    }
    if (d.ddelta) store_row<V>(d.ddelta + p * z.directions * z.channels, count, dstep);
    for (int64_t r = 0; r < z.rank; ++r) {
      Vector part[V];
      for (int v = 0; v < V; ++v) {
        part[v] = dstep[v] * w.dt_weight[r * V + v];
        d.ddt_weight[r * V + v] += dstep[v] * row[r];
      }
      drow[r] = total_row<V>(part) / w.scale;
    }
    Vector sum[V];
    load_row<V>(d.du + p * z.pixel(), count, sum);
    for (int v = 0; v < V; ++v) sum[v] += du[v];
    store_row<V>(d.du + p * z.pixel(), count, sum);
  }
}

template <int V>
void keep_sums(const Sizes& z, const Direction<V>& d, int64_t first_row, int64_t count, const Parts& parts) {
  for (int64_t c = 0; c < count; ++c) {
    const int64_t v = c / kLanes, lane = c % kLanes, row = first_row + c;
    parts.bias[row] = d.dbias[v][lane];
    parts.D[row] = d.dD[v][lane];
    for (int64_t r = 0; r < z.rank; ++r) parts.dt_weight[row * z.rank + r] = d.ddt_weight[r * V + v][lane];
    for (int64_t n = 0; n < z.states; ++n) parts.A[row * z.states + n] = d.dA[n * V + v][lane];
  }
}

template <int V>
void reverse_block(const Sizes& z, const Arguments& a, int64_t b, int64_t first, float* dprojected,
                   const Parts& parts) {
  const int64_t count = z.channels - first < V * kLanes ? z.channels - first : V * kLanes;
  Tape<V> tape(z.states);
  for (int64_t k = 0; k < z.directions; ++k) {
    const BlockWeights<V> w(z, a.weights, k, first);
    const int64_t pair = b * z.directions + k;
    const int64_t offset = b * z.length * z.pixel() + (z.shared ? 0 : k * z.channels) + first;
    const int64_t given = (b * z.length * z.directions + k) * z.channels + first;
    Direction<V> d(z);
    d.u = a.u + offset;
    d.dy = a.dy + offset;
    d.du = a.gradients.u + offset;
    d.delta = a.delta ? a.delta + given : nullptr;
    d.ddelta = a.delta ? a.gradients.delta + given : nullptr;
    d.projected = a.projected + (b * z.length * z.directions + k) * z.width();
    d.dprojected = dprojected + k * z.width();
    d.saved = a.states + pair * z.tiles() * z.states * z.channels + first;
    d.order = a.order + k * z.length;
    for (int64_t tile = z.tiles() - 1; tile >= 0; --tile) {
      const int64_t begin = tile * kTile, end = begin + kTile < z.length ? begin + kTile : z.length;
      replay_tile<V>(z, w, d, count, begin, end, tape);
      reverse_tile<V>(z, w, d, count, begin, end, tape);
    }
    keep_sums<V>(z, d, pair * z.channels + first, count, parts);
  }
}

// target[j][i] = sum over s of source[j][s][i]
void add_up(const float* source, float* target, int64_t outer, int64_t summands, int64_t inner) {
#pragma omp for
  for (int64_t j = 0; j < outer; ++j) {
    std::memcpy(target + j * inner, source + j * summands * inner, inner * sizeof(float));
    for (int64_t s = 1; s < summands; ++s)
      for (int64_t i = 0; i < inner; ++i) target[j * inner + i] += source[(j * summands + s) * inner + i];
  }
}

void backward(const Sizes& z, const Arguments& a, int threads) {
  const Blocks blocks(z, threads);
  const int64_t plane = z.length * z.directions * z.width();
  const Parts parts(z, blocks.count);
#pragma omp parallel num_threads(threads)
  {
#pragma omp for schedule(dynamic)
    for (int64_t task = 0; task < z.batch * blocks.count; ++task) {
      const int64_t b = task / blocks.count, block = task % blocks.count, first = blocks.first(block);
      float* dprojected = &parts.projected[task * plane];
      switch (blocks.size(block)) {
        case 1: reverse_block<1>(z, a, b, first, dprojected, parts); break;
        case 2: reverse_block<2>(z, a, b, first, dprojected, parts); break;
        case 3: reverse_block<3>(z, a, b, first, dprojected, parts); break;
        default: reverse_block<4>(z, a, b, first, dprojected, parts);
      }
    }
    const int64_t rows = z.directions * z.channels;
    add_up(parts.projected.get(), a.gradients.projected, z.batch, blocks.count, plane);
    add_up(parts.dt_weight.get(), a.gradients.dt_weight, 1, z.batch, rows * z.rank);
    add_up(parts.bias.get(), a.gradients.bias, 1, z.batch, rows);
    add_up(parts.A.get(), a.gradients.A, 1, z.batch, rows * z.states);
    add_up(parts.D.get(), a.gradients.D, 1, z.batch, rows);
  }
}

}  // namespace

extern "C" void selective_scan_backward(
    const int64_t* sizes, const float* u, const float* delta, const float* projected, const float* dt_weight,
    const float* dt_bias, const float* A, const float* D, const int32_t* order, const float* dy, const float* states,
    float* du, float* ddelta, float* dprojected, float* ddt_weight, float* dbias, float* dA, float* dD, int threads) {
  const Sizes z{sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], sizes[6], sizes[7]};
  const Weights w{dt_weight, dt_bias, A, D};
  const Gradients g{du, ddelta, dprojected, ddt_weight, dbias, dA, dD};
  backward(z, Arguments{w, u, delta, projected, dy, order, states, g}, threads);
}
