from tracegrad.codegen.mathlib import absorbing_multiply, accumulate, block_end, exp, rounding_error, tanh, watch
from tracegrad.runtime.abi import confirm, entry, float64, kernel, launch, place, read, scalar, shift, stack_table, update, write


@kernel
def k0_HASH_(first, last, table):
    partial0 = update(table, 2, float64)
    n0 = table[3]
    n1 = table[4]
    x0 = read(table, 5, float64)
    c0 = scalar(table, 6, float64)
    c1 = scalar(table, 7, float64)
    c2 = scalar(table, 8, float64)
    out0 = write(table, 9, float64)
    for c in range(first, last):
        start = c * n1
        stop = min(start + n1, n0)
        seen0 = 0.0
        total0 = 0.0
        lost0 = 0.0
        block0 = start
        while block0 < stop:
            end0 = block_end(block0, stop)
            some0 = 0.0
            for i in range(block0, end0):
                t0 = x0[i]
                t1 = t0 * c0
                t2 = t1 + c1
                t3 = tanh(t2)
                t4 = t3 * t3
                t5 = t0 * t0
                t6 = -t5
                t7 = exp(t6)
                t8 = t4 * t7
                t9 = absorbing_multiply(t4, t7)
                t10 = absorbing_multiply(t9, t0)
                t11 = -t10
                t12 = t11 - t10
                t13 = t3 * c2
                t14 = absorbing_multiply(t7, t13)
                t15 = 1.0 - t4
                t16 = absorbing_multiply(t14, t15)
                t17 = t16 * c0
                t18 = t12 + t17
                seen0 = watch(seen0, t18)
                out0[i] = t18
                some0 = accumulate(some0, t8)
            lost0 = lost0 + rounding_error(total0, some0)
            total0 = total0 + some0
            block0 = end0
        partial0[c] = total0 + lost0
        confirm(c, seen0)


@kernel
def k0_finish_HASH_(first, last, table):
    part0 = update(table, 2, float64)
    out1 = write(table, 10, float64)
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


@entry("float64[::1]", "float64[::1]", "float64[::1]", "uint8[::1]", "int64[::1]")
def run_HASH_(a0, out0, out1, arena, plan):
    table = stack_table(plan, 11)
    shift(table, 2, arena)
    place(table, 5, a0)
    place(table, 9, out1)
    place(table, 10, out0)
    launch(k0_HASH_, table, 0)
    launch(k0_finish_HASH_, table, 0, 1)
