from math import inf
from tracegrad.codegen.mathlib import absorbing_multiply, accumulate, accumulate_maximum, block_end, divide, exp, isfinite, log, rounding_error, where
from tracegrad.runtime.abi import buffer_offset, entry, float64, int64, kernel, launch, place, read, scalar, shift, stack_table, update, write


@kernel
def k0_HASH_(first, last, table):
    partial0 = update(table, 2, float64)
    partial1 = update(table, 3, float64)
    n0 = table[4]
    n1 = table[5]
    n2 = table[6]
    x0 = read(table, 7, float64)
    n3 = table[8]
    x1 = read(table, 9, int64)
    c0 = scalar(table, 10, int64)
    c1 = scalar(table, 11, float64)
    c2 = scalar(table, 12, float64)
    c3 = scalar(table, 13, float64)
    out0 = write(table, 14, float64)
    for c in range(first, last):
        start = c * n2
        stop = min(start + n2, n1)
        kept0 = buffer_offset(partial1, c * n0)
        total0 = 0.0
        lost0 = 0.0
        block0 = start
        while block0 < stop:
            end0 = block_end(block0, stop)
            some0 = 0.0
            for o in range(block0, end0):
                row0 = -inf
                at0 = o * n3
                for j in range(10):
                    at1 = at0 + j
                    t0 = x0[at1]
                    row0 = accumulate_maximum(row0, t0)
                t1 = isfinite(row0)
                t2 = where(t1, row0, 0.0)
                row1 = 0.0
                row2 = 0.0
                t5 = x1[o]
                for j in range(10):
                    at2 = at0 + j
                    t3 = x0[at2]
                    t4 = t3 - t2
                    at3 = j
                    t6 = at3 == t5
                    t7 = where(t6, t4, 0.0)
                    t8 = exp(t4)
                    kept0[j] = t8
                    row1 = accumulate(row1, t7)
                    row2 = accumulate(row2, t8)
                t9 = t5 >= 0
                t10 = t5 < c0
                t11 = t9 & t10
                t12 = where(t11, row1, c1)
                t13 = log(row2)
                t14 = t13 - t12
                t15 = divide(1.0, row2)
                t16 = t15 * c2
                t20 = where(t11, c3, 0.0)
                for j in range(10):
                    t17 = kept0[j]
                    t18 = absorbing_multiply(t16, t17)
                    at4 = j
                    t19 = at4 == t5
                    t21 = where(t19, t20, 0.0)
                    t22 = t18 + t21
                    at5 = at0 + j
                    out0[at5] = t22
                some0 = accumulate(some0, t14)
            lost0 = lost0 + rounding_error(total0, some0)
            total0 = total0 + some0
            block0 = end0
        partial0[c] = total0 + lost0


@kernel
def k0_finish_HASH_(first, last, table):
    part0 = update(table, 2, float64)
    out1 = write(table, 15, float64)
    c4 = scalar(table, 16, float64)
    out2 = write(table, 17, float64)
    count = table[0]
    while count > 1:
        half = count // 2
        for i in range(half):
            part0[i] = part0[2 * i] + part0[2 * i + 1]
        if count % 2 != 0:
            part0[half] = part0[count - 1]
        count = half + count % 2
    whole0 = part0[0] if table[0] > 0 else 0.0
    out1[0] = whole0
    t23 = divide(whole0, c4)
    out2[0] = t23


@entry("float64[:, ::1]", "int64[::1]", "float64[::1]", "float64[:, ::1]", "uint8[::1]", "int64[::1]")
def run_HASH_(a0, a1, out0, out1, arena, plan):
    table = stack_table(plan, 18)
    shift(table, 2, arena)
    shift(table, 3, arena)
    place(table, 7, a0)
    place(table, 9, a1)
    place(table, 14, out1)
    shift(table, 15, arena)
    place(table, 17, out0)
    launch(k0_HASH_, table, 0)
    launch(k0_finish_HASH_, table, 0, 1)
