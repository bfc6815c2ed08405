// y = A^T [(G w G^T) . (B^T d B)] A, block by block of tile rows: V from the input, M = V . U point by point, y from M.
//
// Small weights: U is made once, and each thread does whole blocks alone, so small that V and M stay in its cache.
// Large weights: all threads share a block, and each makes the part of U that it is about to use.

// Numbers in `plan`: rows of tiles a block, outputs of one product, threads, whether each works alone, whether y is streamed,
// then the number of tile rows and columns, and sizes and starts of each.
extern "C" void forward(const float* x, const float* w, const float* bias, float* y, float* space, const int64_t* shape,
                        const int64_t* strides, const int64_t* plan) {
  const Shape s = {shape[0], shape[1], shape[2], shape[3], shape[4], shape[5], shape[6], shape[7], shape[8]};
  const Strides t = {strides[0], strides[1], strides[2], strides[3]};
  const int64_t rows_a_block = plan[0], width = plan[1];
  const bool alone = plan[3], streams = plan[4];
  const int64_t *sizes = plan + 7, num_rows = plan[5], num_columns = plan[6];
  const Axis rows = {num_rows, sizes, sizes + num_rows};
  const Axis columns = {num_columns, sizes + 2 * num_rows, sizes + 2 * num_rows + num_columns};

  const int64_t pitch = round_up(s.out_channels, width), capacity = rows_a_block * num_columns;
  const int64_t v_pitch = round_up(s.channels, LANES) + LANES, v_plane = plane_size(v_pitch, capacity);
  const int64_t m_pitch = pitch + LANES, m_plane = plane_size(m_pitch, capacity);
  const int64_t u_size = K * s.channels * width, team_size = K * K * (v_plane + m_plane);
  const Used used(rows), used_across(columns);
  const int64_t items = used.count * (pitch / width);  // an item of a block: one row of points, `width` outputs

  float* zeros = space;
  float* packed = zeros + round_up(s.channels, 16);
  float* u_base = packed + TAPS * TAPS * s.channels * pitch;
  float* team_base = u_base + (alone ? items : plan[2]) * u_size;
  std::fill(zeros, packed, 0.0f);

#pragma omp parallel num_threads(int(plan[2]))
  {
    const int thread = omp_get_thread_num(), threads = omp_get_num_threads();
    const Team team = alone ? Team{0, 1} : Team{thread, threads};
    const Points v = {team_base + (alone ? thread * team_size : 0), v_plane, v_pitch};
    const Points m = {v.base + K * K * v_plane, m_plane, m_pitch};
    repack(w, t, s.channels, s.out_channels, pitch, packed);
    if (alone) {
#pragma omp for schedule(static)
      for (int64_t item = 0; item < items; ++item)
        weight_points(used.points[item % used.count], packed, s.channels, pitch, item / used.count * width, width, u_base + item * u_size);
    }
    const int64_t total = s.num * num_rows, blocks = (total + rows_a_block - 1) / rows_a_block;
    for (int64_t number = alone ? thread : 0; number < blocks; number += alone ? threads : 1) {
      const Block block = {rows, columns, number * rows_a_block, std::min((number + 1) * rows_a_block, total)};
      for (int64_t row = block.begin + team.rank; row < block.end; row += team.size) {
        const float* image = x + row / num_rows * s.height * s.width * s.channels;
        each_tile(block, row, v, [&]<int MH, int MW>(int64_t top, int64_t left, float* const* to) {
          input_tile<MH, MW>(image, s, top - s.pad_h, left - s.pad_w, zeros, to);
        });
      }
      team.wait();
      for (int64_t item = team.rank; item < items; item += team.size) {
        const int i = used.points[item % used.count];
        const int64_t o = item / used.count * width;
        float* u = u_base + (alone ? item : thread) * u_size;
        if (!alone) weight_points(i, packed, s.channels, pitch, o, width, u);
        for (int q = 0; q < used_across.count; ++q) {
          const int j = used_across.points[q];
          const int64_t tiles = block.tiles(i, j);
          const float *a = v.at(i, j), *b = u + j * s.channels * width;
          for (int64_t r = 0; r < tiles; r += ROWS)
            for (int64_t p = 0; p < width; p += PANEL)
              some_rows<false>(tiles - r, a + r * v_pitch, v_pitch, int64_t(1), b + p, width, m.at(i, j) + r * m_pitch + o + p, m_pitch,
                               s.channels);
        }
      }
      team.wait();
      for (int64_t row = block.begin + team.rank; row < block.end; row += team.size) {
        float* image = y + row / num_rows * s.out_height * s.out_width * s.out_channels;
        each_tile(block, row, m, [&]<int MH, int MW>(int64_t top, int64_t left, float* const* from) {
          output_tile<MH, MW>(from, s, top, left, bias, streams, image);
        });
      }
      team.wait();
    }
  }
}
