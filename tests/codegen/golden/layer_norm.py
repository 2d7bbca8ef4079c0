from tracegrad.codegen.mathlib import absorbing_multiply, accumulate, block_end, divide, rounding_error, sqrt, watch
from tracegrad.runtime.abi import buffer_offset, confirm, entry, float64, kernel, launch, place, read, scalar, shift, stack_table, update, write


@kernel
def k0_HASH_(first, last, table):
    partial0 = update(table, 2, float64)
    partial1 = update(table, 3, float64)
    n0 = table[4]
    partial2 = update(table, 5, float64)
    n1 = table[6]
    n2 = table[7]
    n3 = table[8]
    n4 = table[9]
    x0 = read(table, 10, float64)
    n5 = table[11]
    c0 = scalar(table, 12, float64)
    n6 = table[13]
    c1 = scalar(table, 14, float64)
    c2 = scalar(table, 15, float64)
    n7 = table[16]
    x1 = read(table, 17, float64)
    x2 = read(table, 18, float64)
    c3 = scalar(table, 19, float64)
    c4 = scalar(table, 20, float64)
    n8 = table[21]
    n9 = table[22]
    out0 = write(table, 23, float64)
    for c in range(first, last):
        start = c * n3
        stop = min(start + n3, n2)
        seen0 = 0.0
        column0 = buffer_offset(partial1, c * n0)
        for e in range(n0):
            column0[e] = 0.0
        column1 = buffer_offset(partial2, c * n1)
        for e in range(n1):
            column1[e] = 0.0
        total0 = 0.0
        lost0 = 0.0
        for o in range(start, stop):
            row0 = 0.0
            lost1 = 0.0
            block0 = 0
            at0 = o * n5
            while block0 < n4:
                end0 = block_end(block0, n4)
                some0 = 0.0
                for j in range(block0, end0):
                    at1 = at0 + j
                    t0 = x0[at1]
                    some0 = accumulate(some0, t0)
                lost1 = lost1 + rounding_error(row0, some0)
                row0 = row0 + some0
                if end0 % 65536 == 0:
                    some0 = row0 + lost1
                    lost1 = rounding_error(row0, lost1)
                    row0 = some0
                block0 = end0
            row0 = row0 + lost1
            t1 = divide(row0, c0)
            row1 = 0.0
            lost2 = 0.0
            block1 = 0
            while block1 < n6:
                end1 = block_end(block1, n6)
                some1 = 0.0
                for j in range(block1, end1):
                    at2 = at0 + j
                    t2 = x0[at2]
                    t3 = t2 - t1
                    t4 = t3 * t3
                    some1 = accumulate(some1, t4)
                lost2 = lost2 + rounding_error(row1, some1)
                row1 = row1 + some1
                if end1 % 65536 == 0:
                    some1 = row1 + lost2
                    lost2 = rounding_error(row1, lost2)
                    row1 = some1
                block1 = end1
            row1 = row1 + lost2
            t5 = divide(row1, c0)
            t6 = t5 + c1
            t7 = sqrt(t6)
            t8 = divide(1.0, t7)
            t9 = t8 * t8
            t10 = t8 * c2
            row2 = 0.0
            lost3 = 0.0
            block2 = 0
            while block2 < n7:
                end2 = block_end(block2, n7)
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
                    t20 = absorbing_multiply(t19, t14)
                    t21 = absorbing_multiply(t19, t13)
                    t22 = absorbing_multiply(t20, t12)
                    some2 = accumulate(some2, t18)
                    column0[j] = accumulate(column0[j], t19)
                    column1[j] = accumulate(column1[j], t21)
                    some3 = accumulate(some3, t22)
                lost0 = lost0 + rounding_error(total0, some2)
                total0 = total0 + some2
                lost3 = lost3 + rounding_error(row2, some3)
                row2 = row2 + some3
                if end2 % 65536 == 0:
                    some2 = total0 + lost0
                    lost0 = rounding_error(total0, lost0)
                    total0 = some2
                    some3 = row2 + lost3
                    lost3 = rounding_error(row2, lost3)
                    row2 = some3
                block2 = end2
            row2 = row2 + lost3
            t23 = absorbing_multiply(row2, t9)
            t24 = -t23
            t25 = absorbing_multiply(t24, t10)
            t26 = t25 * c4
            row3 = 0.0
            lost4 = 0.0
            block3 = 0
            while block3 < n8:
                end3 = block_end(block3, n8)
                some4 = 0.0
                for j in range(block3, end3):
                    at4 = at0 + j
                    t27 = x0[at4]
                    t28 = t27 - t1
                    t29 = t28 * t8
                    t30 = x1[j]
                    t31 = t29 * t30
                    t32 = x2[j]
                    t33 = t31 + t32
                    t34 = t33 * c3
                    t35 = absorbing_multiply(t34, t30)
                    t36 = absorbing_multiply(t35, t8)
                    t37 = absorbing_multiply(t26, t28)
                    t38 = t36 + t37
                    t39 = t37 + t38
                    some4 = accumulate(some4, t39)
                lost4 = lost4 + rounding_error(row3, some4)
                row3 = row3 + some4
                if end3 % 65536 == 0:
                    some4 = row3 + lost4
                    lost4 = rounding_error(row3, lost4)
                    row3 = some4
                block3 = end3
            row3 = row3 + lost4
            t40 = -row3
            t41 = t40 * c4
            for j in range(n9):
                at5 = at0 + j
                t42 = x0[at5]
                t43 = t42 - t1
                t44 = t43 * t8
                t45 = x1[j]
                t46 = t44 * t45
                t47 = x2[j]
                t48 = t46 + t47
                t49 = t48 * c3
                t50 = absorbing_multiply(t49, t45)
                t51 = absorbing_multiply(t50, t8)
                t52 = absorbing_multiply(t26, t43)
                t53 = t51 + t52
                t54 = t52 + t53
                t55 = t54 + t41
                seen0 = watch(seen0, t55)
                out0[at5] = t55
        partial0[c] = total0 + lost0
        for e in range(n1):
            seen0 = watch(seen0, column1[e])
        confirm(c, seen0)


@kernel
def k0_finish_HASH_(first, last, table):
    part0 = update(table, 2, float64)
    out1 = write(table, 24, float64)
    part1 = update(table, 3, float64)
    n10 = table[25]
    kept0 = update(table, 26, float64)
    part3 = update(table, 5, float64)
    n11 = table[27]
    kept1 = update(table, 28, float64)
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
    for e in range(n10):
        kept0[e] = 0.0
    for c in range(table[0]):
        column2 = buffer_offset(part1, c * n10)
        for e in range(n10):
            kept0[e] = kept0[e] + column2[e]
    for e in range(n11):
        kept1[e] = 0.0
    for c in range(table[0]):
        column3 = buffer_offset(part3, c * n11)
        for e in range(n11):
            kept1[e] = kept1[e] + column3[e]


@entry("float64[:, ::1]", "float64[::1]", "float64[::1]", "float64[::1]", "float64[:, ::1]", "float64[::1]", "float64[::1]", "uint8[::1]", "int64[::1]")
def run_HASH_(a0, a1, a2, out0, out1, out2, out3, arena, plan):
    table = stack_table(plan, 29)
    shift(table, 2, arena)
    shift(table, 3, arena)
    shift(table, 5, arena)
    place(table, 10, a0)
    place(table, 17, a1)
    place(table, 18, a2)
    place(table, 23, out1)
    place(table, 24, out0)
    place(table, 26, out3)
    place(table, 28, out2)
    launch(k0_HASH_, table, 0)
    launch(k0_finish_HASH_, table, 0, 1)
