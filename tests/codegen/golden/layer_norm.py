from tracegrad.codegen.mathlib import absorbing_multiply, accumulate, block_end, divide, rounding_error, sqrt
from tracegrad.runtime.abi import buffer_offset, entry, float64, kernel, launch, place, read, scalar, shift, stack_table, update, write


@kernel
def k0_HASH_(first, last, table):
    partial0 = update(table, 2, float64)
    n0 = table[3]
    n1 = table[4]
    n2 = table[5]
    x0 = read(table, 6, float64)
    n3 = table[7]
    c0 = scalar(table, 8, float64)
    n4 = table[9]
    c1 = scalar(table, 10, float64)
    c2 = scalar(table, 11, float64)
    n5 = table[12]
    x1 = read(table, 13, float64)
    x2 = read(table, 14, float64)
    c3 = scalar(table, 15, float64)
    kept0 = update(table, 16, float64)
    out0 = write(table, 17, float64)
    c4 = scalar(table, 18, float64)
    n6 = table[19]
    n7 = table[20]
    out1 = write(table, 21, float64)
    for c in range(first, last):
        start = c * n1
        stop = min(start + n1, n0)
        total0 = 0.0
        lost0 = 0.0
        for o in range(start, stop):
            row0 = 0.0
            lost1 = 0.0
            block0 = 0
            at0 = o * n3
            while block0 < n2:
                end0 = block_end(block0, n2)
                some0 = 0.0
                for j in range(block0, end0):
                    at1 = at0 + j
                    t0 = x0[at1]
                    some0 = accumulate(some0, t0)
                lost1 = lost1 + rounding_error(row0, some0)
                row0 = row0 + some0
                block0 = end0
            row0 = row0 + lost1
            t1 = divide(row0, c0)
            row1 = 0.0
            lost2 = 0.0
            block1 = 0
            while block1 < n4:
                end1 = block_end(block1, n4)
                some1 = 0.0
                for j in range(block1, end1):
                    at2 = at0 + j
                    t2 = x0[at2]
                    t3 = t2 - t1
                    t4 = t3 * t3
                    some1 = accumulate(some1, t4)
                lost2 = lost2 + rounding_error(row1, some1)
                row1 = row1 + some1
                block1 = end1
            row1 = row1 + lost2
            t5 = divide(row1, c0)
            t6 = t5 + c1
            t7 = sqrt(t6)
            t8 = divide(1.0, t7)
            t9 = divide(t8, t7)
            t10 = divide(c2, t7)
            row2 = 0.0
            lost3 = 0.0
            block2 = 0
            while block2 < n5:
                end2 = block_end(block2, n5)
                some2 = 0.0
                some3 = 0.0
                for j in range(block2, end2):
                    at3 = at0 + j
                    t11 = x0[at3]
                    t12 = t11 - t1
                    t13 = t12 * t8
                    t14 = x1[j]
                    t15 = t13 * t14
                    t16 = x2[j]
                    t17 = t15 + t16
                    t18 = t17 * t17
                    t19 = t17 * c3
                    kept0[at3] = t19
                    t20 = absorbing_multiply(t19, t14)
                    t21 = absorbing_multiply(t19, t13)
                    out0[at3] = t21
                    t22 = absorbing_multiply(t20, t12)
                    some2 = accumulate(some2, t18)
                    some3 = accumulate(some3, t22)
                lost0 = lost0 + rounding_error(total0, some2)
                total0 = total0 + some2
                lost3 = lost3 + rounding_error(row2, some3)
                row2 = row2 + some3
                block2 = end2
            row2 = row2 + lost3
            t23 = absorbing_multiply(row2, t9)
            t24 = -t23
            t25 = absorbing_multiply(t24, t10)
            t26 = t25 * c4
            row3 = 0.0
            lost4 = 0.0
            block3 = 0
            while block3 < n6:
                end3 = block_end(block3, n6)
                some4 = 0.0
                for j in range(block3, end3):
                    at4 = at0 + j
                    t27 = x0[at4]
                    t28 = t27 - t1
                    t29 = kept0[at4]
                    t30 = x1[j]
                    t31 = absorbing_multiply(t29, t30)
                    t32 = absorbing_multiply(t31, t8)
                    t33 = absorbing_multiply(t26, t28)
                    t34 = t32 + t33
                    t35 = t33 + t34
                    t36 = -t35
                    some4 = accumulate(some4, t36)
                lost4 = lost4 + rounding_error(row3, some4)
                row3 = row3 + some4
                block3 = end3
            row3 = row3 + lost4
            t37 = row3 * c4
            for j in range(n7):
                at5 = at0 + j
                t38 = x0[at5]
                t39 = t38 - t1
                t40 = kept0[at5]
                t41 = x1[j]
                t42 = absorbing_multiply(t40, t41)
                t43 = absorbing_multiply(t42, t8)
                t44 = absorbing_multiply(t26, t39)
                t45 = t43 + t44
                t46 = t44 + t45
                t47 = t46 + t37
                out1[at5] = t47
        partial0[c] = total0 + lost0


@kernel
def k0_finish_HASH_(first, last, table):
    part0 = update(table, 2, float64)
    out2 = write(table, 22, float64)
    count = table[0]
    while count > 1:
        half = count // 2
        for i in range(half):
            part0[i] = part0[2 * i] + part0[2 * i + 1]
        if count % 2 != 0:
            part0[half] = part0[count - 1]
        count = half + count % 2
    whole0 = part0[0] if table[0] > 0 else 0.0
    out2[0] = whole0


@kernel
def k1_HASH_(first, last, table):
    n0 = table[2]
    n1 = table[3]
    kept0 = update(table, 4, float64)
    n2 = table[5]
    x0 = read(table, 6, float64)
    n3 = table[7]
    for c in range(first, last):
        start = c * n1
        stop = min(start + n1, n0)
        for i in range(start, stop):
            kept0[i] = 0.0
        for j in range(n2):
            at0 = j * n3
            for i in range(start, stop):
                at1 = at0 + i
                t0 = x0[at1]
                kept0[i] = accumulate(kept0[i], t0)


@kernel
def k1_parts_HASH_(first, last, table):
    for part in range(table[2]):
        start = table[3 + 2 * part]
        begin = max(first, start)
        end = min(last, table[5 + 2 * part])
        if begin < end:
            k1_HASH_(begin - start, end - start, buffer_offset(table, table[4 + 2 * part]))


@entry("float64[:, ::1]", "float64[::1]", "float64[::1]", "float64[::1]", "float64[:, ::1]", "float64[::1]", "float64[::1]", "uint8[::1]", "int64[::1]")
def run_HASH_(a0, a1, a2, out0, out1, out2, out3, arena, plan):
    table = stack_table(plan, 47)
    shift(table, 2, arena)
    place(table, 6, a0)
    place(table, 13, a1)
    place(table, 14, a2)
    shift(table, 16, arena)
    shift(table, 17, arena)
    place(table, 21, out1)
    place(table, 22, out0)
    launch(k0_HASH_, table, 0)
    launch(k0_finish_HASH_, table, 0, 1)
    place(table, 27, out3)
    shift(table, 29, arena)
    place(table, 35, out2)
    shift(table, 37, arena)
    launch(k1_parts_HASH_, table, 39)
