// dw = G^T [sum over tiles of (A dy A^T) . (B^T d B)] G, block by block of tile rows: V from the input, Z from grad_output, and at
// each point S += V^T . Z, a matrix product over the tiles of the block.
//
// Small weights: each thread does whole blocks alone and keeps its own S; they are added in the order of the threads.
// Large weights: all threads share a block, and each brings the part of S that it has just summed back to column taps.
// Either way the order of all sums is given by the number of threads, and so are the bits.

// Numbers in `plan`: rows of tiles a block, channels of one item, threads, whether each works alone, 0, then as in forward.
extern "C" void grad_weight(const float* x, const float* dy, float* dw, float* space, const int64_t* shape,
                            const int64_t* strides, const int64_t* plan) {
  const Shape s = {shape[0], shape[1], shape[2], shape[3], shape[4], shape[5], shape[6], shape[7], shape[8]};
  const Strides t = {strides[0], strides[1], strides[2], strides[3]};
  const int64_t rows_a_block = plan[0], part = plan[1];
  const bool alone = plan[3];
  const int64_t *sizes = plan + 7, num_rows = plan[5], num_columns = plan[6];
  const Axis rows = {num_rows, sizes, sizes + num_rows};
  const Axis columns = {num_columns, sizes + 2 * num_rows, sizes + 2 * num_rows + num_columns};

  const int64_t wide = round_up(s.out_channels, PANEL), capacity = rows_a_block * num_columns;
  const int64_t v_pitch = round_up(s.channels, LANES) + LANES, v_plane = plane_size(v_pitch, capacity);
  const int64_t z_pitch = wide + LANES, z_plane = plane_size(z_pitch, capacity);
  const int64_t s_plane = plane_size(wide, alone ? s.channels : part), s_size = (alone ? K * K : K) * s_plane;
  const int64_t r_plane = plane_size(wide, s.channels), team_size = K * K * (v_plane + z_plane);
  const Used used(rows);
  const int64_t parts = (s.channels + part - 1) / part;  // an item of a block: one row of points, `part` channels

  float* zeros = space;
  float* reduced = zeros + round_up(std::max(s.channels, s.out_channels), 16);
  float* s_base = reduced + K * TAPS * r_plane;
  float* team_base = s_base + plan[2] * s_size;
  std::fill(zeros, alone ? reduced : s_base, 0.0f);  // what no tile uses stays 0

#pragma omp parallel num_threads(int(plan[2]))
  {
    const int thread = omp_get_thread_num(), threads = omp_get_num_threads();
    const Team team = alone ? Team{0, 1} : Team{thread, threads};
    const Points v = {team_base + (alone ? thread * team_size : 0), v_plane, v_pitch};
    const Points z = {v.base + K * K * v_plane, z_plane, z_pitch};
    float* sums = s_base + thread * s_size;
    if (alone) std::fill(sums, sums + s_size, 0.0f);
    const int64_t total = s.num * num_rows, blocks = (total + rows_a_block - 1) / rows_a_block;
    for (int64_t number = alone ? thread : 0; number < blocks; number += alone ? threads : 1) {
      const Block block = {rows, columns, number * rows_a_block, std::min((number + 1) * rows_a_block, total)};
      for (int64_t row = block.begin + team.rank; row < block.end; row += team.size) {
        const float* image = x + row / num_rows * s.height * s.width * s.channels;
        each_tile(block, row, v, [&]<int MH, int MW>(int64_t top, int64_t left, float* const* to) {
          input_tile<MH, MW>(image, s, top - s.pad_h, left - s.pad_w, zeros, to);
        });
        const float* grad = dy + row / num_rows * s.out_height * s.out_width * s.out_channels;
        each_tile(block, row, z, [&]<int MH, int MW>(int64_t top, int64_t left, float* const* to) {
          grad_tile<MH, MW>(grad, s, top, left, zeros, to);
        });
      }
      team.wait();
      for (int64_t item = team.rank; item < used.count * parts; item += team.size) {
        const int i = used.points[item / parts];
        const int64_t from = item % parts * part, to = std::min(from + part, s.channels);
        for (int j = 0; j < K; ++j) {
          const int64_t tiles = block.tiles(i, j);
          const float *a = v.at(i, j), *b = z.at(i, j);
          float* into = alone ? sums + (i * K + j) * s_plane + from * wide : sums + j * s_plane;
          for (int64_t o = 0; o < wide; o += PANEL)
            for (int64_t c = from; c < to; c += ROWS) {
              float* sum = into + (c - from) * wide + o;
              if (alone) some_rows<true>(to - c, a + c, int64_t(1), v_pitch, b + o, z_pitch, sum, wide, tiles);
              else some_rows<false>(to - c, a + c, int64_t(1), v_pitch, b + o, z_pitch, sum, wide, tiles);
            }
        }
        if (!alone) column_taps(sums, s_plane, (to - from) * wide, number > 0, reduced + i * TAPS * r_plane + from * wide, r_plane);
      }
      team.wait();
    }
    if (alone) {
#pragma omp barrier
#pragma omp for schedule(static)
      for (int i = 0; i < K; ++i)
        for (int copy = 0; copy < threads; ++copy)
          column_taps(s_base + copy * s_size + i * K * s_plane, s_plane, s.channels * wide, copy > 0, reduced + i * TAPS * r_plane, r_plane);
    }
#pragma omp for collapse(2) schedule(static)
    for (int64_t c = 0; c < s.channels; c += LANES)
      for (int64_t o = 0; o < s.out_channels; o += LANES) row_taps(reduced, r_plane, wide, s, t, c, o, dw);
  }
}
