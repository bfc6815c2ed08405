// The weight on its way to the points, and its gradient on the way back.

namespace {

// Where element (o, c, k, l) lies; swapped and negative strides make the flipped, transposed weight of grad_input.
struct Strides {
  int64_t o, c, k, l;
};

// A square of LANES outputs and LANES channels, as rows of outputs; 0 beyond the last of either.
inline void weight_square(const float* from, const Strides& t, int64_t channels, int64_t outputs, Vec* rows) {
  for (int i = 0; i < LANES; ++i) rows[i] = Vec{};
  if (t.c == 1) {
    for (int64_t o = 0; o < outputs; ++o) rows[o] = channels == LANES ? load(from + o * t.o) : load(from + o * t.o, channels);
    turn(rows);
  } else if (t.o == 1) {
    for (int64_t c = 0; c < channels; ++c) rows[c] = outputs == LANES ? load(from + c * t.c) : load(from + c * t.c, outputs);
  } else {
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t o = 0; o < outputs; ++o) rows[c][o] = from[o * t.o + c * t.c];
  }
}

// The weight as [tap][c][o], with zeros up to `pitch` outputs; shared among the threads.
void repack(const float* w, const Strides& t, int64_t channels, int64_t out_channels, int64_t pitch, float* to) {
#pragma omp for schedule(static)
  for (int64_t c = 0; c < channels; c += LANES) {
    const int64_t some = std::min<int64_t>(LANES, channels - c);
    for (int tap = 0; tap < TAPS * TAPS; ++tap)
      for (int64_t o = 0; o < pitch; o += LANES) {
        Vec rows[LANES];
        const float* from = w + tap / TAPS * t.k + tap % TAPS * t.l + o * t.o + c * t.c;
        weight_square(from, t, some, std::clamp<int64_t>(out_channels - o, 0, LANES), rows);
        for (int64_t i = 0; i < some; ++i) store(to + (tap * channels + c + i) * pitch + o, rows[i]);
      }
  }
}

// Row I of U = G w G^T for the outputs o .. o + width: [column point][c][width].
template <int I> void weight_points(const float* packed, int64_t channels, int64_t pitch, int64_t o, int64_t width, float* u) {
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t v = 0; v < width; v += LANES) {
      Vec row[TAPS], column[TAPS], all[K], points[K];
      for (int l = 0; l < TAPS; ++l) {
        for (int k = 0; k < TAPS; ++k) column[k] = load(packed + ((k * TAPS + l) * channels + c) * pitch + o + v);
        weight_1d(column, all);
        row[l] = all[I];
      }
      weight_1d(row, points);
      for (int j = 0; j < K; ++j) store(u + (j * channels + c) * width + v, points[j]);
    }
}
template <class... Args> void weight_points(int i, Args... args) {
  switch (i) {
    case 0: return weight_points<0>(args...);
    case 1: return weight_points<1>(args...);
    case 2: return weight_points<2>(args...);
    case 3: return weight_points<3>(args...);
    case 4: return weight_points<4>(args...);
    default: return weight_points<5>(args...);
  }
}

// One row of points, S [column point][c][o], to its column taps: to[l][c][o] = G^T S, or += that.
void column_taps(const float* sums, int64_t plane, int64_t count, bool add, float* to, int64_t to_plane) {
  for (int64_t at = 0; at < count; at += LANES) {
    Vec points[K], taps[TAPS];
    for (int j = 0; j < K; ++j) points[j] = load(sums + j * plane + at);
    taps_1d(points, taps);
    for (int l = 0; l < TAPS; ++l) {
      float* p = to + l * to_plane + at;
      store(p, add ? load(p) + taps[l] : taps[l]);
    }
  }
}

// [row point][column tap][c][o] to dw, a square of LANES channels and LANES outputs.
void row_taps(const float* from, int64_t plane, int64_t pitch, const Shape& s, const Strides& t, int64_t c0, int64_t o0, float* dw) {
  Vec taps[TAPS * TAPS][LANES];
  const int64_t channels = std::min<int64_t>(LANES, s.channels - c0), outputs = std::min<int64_t>(LANES, s.out_channels - o0);
  for (int64_t c = 0; c < channels; ++c)
    for (int l = 0; l < TAPS; ++l) {
      Vec points[K], column[TAPS];
      for (int i = 0; i < K; ++i) points[i] = load(from + (i * TAPS + l) * plane + (c0 + c) * pitch + o0);
      taps_1d(points, column);
      for (int k = 0; k < TAPS; ++k) taps[k * TAPS + l][c] = column[k];
    }
  for (auto& square : taps) turn(square);
  for (int64_t o = 0; o < outputs; ++o)
    for (int tap = 0; tap < TAPS * TAPS; ++tap) {
      float* to = dw + (o0 + o) * t.o + c0 * t.c + tap / TAPS * t.k + tap % TAPS * t.l;
      const Vec& row = taps[tap][o];
      if (t.c == 1) store(to, row, channels);
      else
        for (int64_t c = 0; c < channels; ++c) to[c * t.c] = row[c];
    }
}

}  // namespace
