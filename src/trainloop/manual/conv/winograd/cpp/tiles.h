// Tiles of 4, 3 or 2 rows and columns: where they lie, where their points go, and the three transforms.
//
// The points of a block lie as [row point][column point][tile][channel]. A tile of 3 or 2 rows uses a subset of the six row
// points; at each pair of points the tiles that use it stand one after the other, whatever their sizes, as rows of one matrix.

namespace {

constexpr int K = 6;  // points an axis
constexpr int TAPS = 3;

struct Shape {
  int64_t num, channels, height, width, out_channels, out_height, out_width, pad_h, pad_w;
};

// The tiles of one axis.
struct Axis {
  int64_t count;
  const int64_t *sizes, *starts;  // outputs, first output

  static bool uses(int64_t size, int point) {
    for (int i = 0; i < size + TAPS - 1; ++i)
      if (POINTS[size][i] == point) return true;
    return false;
  }
  int64_t with(int point, int64_t end) const {
    int64_t tiles = 0;
    for (int64_t i = 0; i < end; ++i) tiles += uses(sizes[i], point);
    return tiles;
  }
};

// The points that any tile of an axis uses.
struct Used {
  int count = 0, points[K];
  explicit Used(const Axis& axis) {
    for (int i = 0; i < K; ++i)
      if (axis.with(i, axis.count)) points[count++] = i;
  }
};

// Some rows of tiles; those of all images are numbered one after the other.
struct Block {
  const Axis &rows, &columns;
  int64_t begin, end;

  // Rows before `row` that use row point i, from the first image on.
  int64_t rank(int64_t row, int i) const {
    return row / rows.count * rows.with(i, rows.count) + rows.with(i, row % rows.count);
  }
  int64_t tiles(int i, int j) const { return (rank(end, i) - rank(begin, i)) * columns.with(j, columns.count); }
};

// The matrices of a block's points: of `pitch` floats a tile, `plane` floats a pair of points.
struct Points {
  float* base;
  int64_t plane, pitch;
  float* at(int i, int j) const { return base + (i * K + j) * plane; }
};

// Call f<MH, MW>(top, left, at) for each tile of a row: its first output, and the address of each of its points.
template <int MH, int MW, class F>
void tile_of(const Points& points, const int64_t (*first)[K], const int64_t* seen, int64_t top, int64_t left, F&& f) {
  float* at[(MH + 2) * (MW + 2)];
  for (int i = 0; i < MH + 2; ++i)
    for (int j = 0; j < MW + 2; ++j) {
      const int r = POINTS[MH][i], q = POINTS[MW][j];
      at[i * (MW + 2) + j] = points.at(r, q) + (first[r][q] + seen[q]) * points.pitch;
    }
  f.template operator()<MH, MW>(top, left, at);
}
template <int MH, class... Args> void by_width(int64_t width, Args&&... args) {
  if (width == 4) tile_of<MH, 4>(args...);
  else if (width == 3) tile_of<MH, 3>(args...);
  else tile_of<MH, 2>(args...);
}
template <class F> void each_tile(const Block& block, int64_t row, const Points& points, F&& f) {
  int64_t first[K][K], seen[K] = {};
  for (int i = 0; i < K; ++i)
    for (int j = 0; j < K; ++j)
      first[i][j] = (block.rank(row, i) - block.rank(block.begin, i)) * block.columns.with(j, block.columns.count);
  const int64_t r = row % block.rows.count, height = block.rows.sizes[r], top = block.rows.starts[r];
  for (int64_t q = 0; q < block.columns.count; ++q) {
    const int64_t width = block.columns.sizes[q], left = block.columns.starts[q];
    if (height == 4) by_width<4>(width, points, first, seen, top, left, f);
    else if (height == 3) by_width<3>(width, points, first, seen, top, left, f);
    else by_width<2>(width, points, first, seen, top, left, f);
    for (int j = 0; j < K; ++j) seen[j] += Axis::uses(width, j);
  }
}

// y (YH x YW) = down . x (XH x XW) . across^T
template <int XH, int XW, int YH, int YW, class Down, class Across>
inline void both_ways(const Vec* x, Vec* y, Down down, Across across) {
  Vec turned[XW * YH], column[XH], result[YH];
  for (int j = 0; j < XW; ++j) {
    for (int i = 0; i < XH; ++i) column[i] = x[i * XW + j];
    down(column, result);
    for (int i = 0; i < YH; ++i) turned[i * XW + j] = result[i];
  }
  for (int i = 0; i < YH; ++i) across(turned + i * XW, y + i * YW);
}
template <int M> void input_1d(const Vec* x, Vec* y) {
  if constexpr (M == 4) input_4(x, y); else if constexpr (M == 3) input_3(x, y); else input_2(x, y);
}
template <int M> void output_1d(const Vec* x, Vec* y) {
  if constexpr (M == 4) output_4(x, y); else if constexpr (M == 3) output_3(x, y); else output_2(x, y);
}
template <int M> void grad_1d(const Vec* x, Vec* y) {
  if constexpr (M == 4) grad_4(x, y); else if constexpr (M == 3) grad_3(x, y); else grad_2(x, y);
}

// V = B^T d B of the window at (top, left) of an image, which may lie over the border.
template <int MH, int MW>
void input_tile(const float* image, const Shape& s, int64_t top, int64_t left, const float* zeros, float* const* to) {
  constexpr int H = MH + 2, W = MW + 2;
  const float* from[H * W];
  for (int i = 0; i < H; ++i)
    for (int j = 0; j < W; ++j) {
      const int64_t h = top + i, w = left + j;
      const bool inside = h >= 0 && h < s.height && w >= 0 && w < s.width;
      from[i * W + j] = inside ? image + (h * s.width + w) * s.channels : zeros;
    }
  for (int64_t c = 0; c < s.channels; c += LANES) {
    const int64_t count = std::min<int64_t>(LANES, s.channels - c);
    Vec x[H * W], v[H * W];
    for (int i = 0; i < H * W; ++i) {
      x[i] = count == LANES ? load(from[i] + c) : load(from[i] + c, count);
      if (i % W >= 2) __builtin_prefetch(from[i] + c + MW * s.channels);  // what the next tile adds to this one
    }
    both_ways<H, W, H, W>(x, v, input_1d<MH>, input_1d<MW>);
    for (int i = 0; i < H * W; ++i) store(to[i] + c, v[i]);
  }
}

// y = A^T M A (+ bias) into the tile at (top, left); what lies over the border is left out.
template <int MH, int MW>
void output_tile(float* const* from, const Shape& s, int64_t top, int64_t left, const float* bias, bool streams, float* image) {
  constexpr int H = MH + 2, W = MW + 2;
  for (int64_t o = 0; o < s.out_channels; o += LANES) {
    const int64_t count = std::min<int64_t>(LANES, s.out_channels - o);
    Vec m[H * W], y[MH * MW];
    for (int i = 0; i < H * W; ++i) m[i] = load(from[i] + o);
    both_ways<H, W, MH, MW>(m, y, output_1d<MH>, output_1d<MW>);
    const Vec shift = bias ? load(bias + o, count) : Vec{};
    for (int i = 0; i < MH; ++i)
      for (int j = 0; j < MW; ++j) {
        if (top + i >= s.out_height || left + j >= s.out_width) continue;
        float* to = image + ((top + i) * s.out_width + left + j) * s.out_channels + o;
        const Vec value = bias ? y[i * MW + j] + shift : y[i * MW + j];
        if (streams) stream(to, value);
        else if (count == LANES) store(to, value);
        else store(to, value, count);
      }
  }
}

// Z = A dy A^T of the tile at (top, left); over the border dy is 0.
template <int MH, int MW>
void grad_tile(const float* image, const Shape& s, int64_t top, int64_t left, const float* zeros, float* const* to) {
  constexpr int H = MH + 2, W = MW + 2;
  const float* from[MH * MW];
  for (int i = 0; i < MH; ++i)
    for (int j = 0; j < MW; ++j) {
      const bool inside = top + i < s.out_height && left + j < s.out_width;
      from[i * MW + j] = inside ? image + ((top + i) * s.out_width + left + j) * s.out_channels : zeros;
    }
  for (int64_t o = 0; o < s.out_channels; o += LANES) {
    const int64_t count = std::min<int64_t>(LANES, s.out_channels - o);
    Vec dy[MH * MW], z[H * W];
    for (int i = 0; i < MH * MW; ++i) {
      dy[i] = count == LANES ? load(from[i] + o) : load(from[i] + o, count);
      __builtin_prefetch(from[i] + o + MW * s.out_channels);
    }
    both_ways<MH, MW, H, W>(dy, z, grad_1d<MH>, grad_1d<MW>);
    for (int i = 0; i < H * W; ++i) store(to[i] + o, z[i]);
  }
}

}  // namespace
