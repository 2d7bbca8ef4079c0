from tracegrad.codegen.mathlib import divide, power, sqrt
from tracegrad.runtime.abi import buffer_offset, entry, float32, float64, int64, kernel, launch, place, place_scalar, read, scalar, stack_table, write


@kernel
def k0_HASH_(first, last, table):
    a0 = scalar(table, 2, int64)
    out0 = write(table, 3, int64)
    t0 = a0 + 1
    out0[0] = t0


@kernel
def k1_HASH_(first, last, table):
    n0 = table[2]
    n1 = table[3]
    x0 = read(table, 4, float32)
    c0 = scalar(table, 5, float32)
    x1 = read(table, 6, float32)
    c1 = scalar(table, 7, float32)
    out0 = write(table, 8, float32)
    x2 = read(table, 9, float32)
    c2 = scalar(table, 10, float32)
    c3 = scalar(table, 11, float32)
    out1 = write(table, 12, float32)
    c4 = scalar(table, 13, float64)
    a0 = scalar(table, 14, int64)
    c5 = scalar(table, 15, float32)
    c6 = scalar(table, 16, float64)
    c7 = scalar(table, 17, float64)
    x3 = read(table, 18, float32)
    out2 = write(table, 19, float32)
    t11 = a0 + 1
    t12 = float64(t11)
    t13 = power(c4, t12)
    t14 = 1.0 - t13
    t15 = sqrt(t14)
    t16 = float32(t15)
    t19 = power(c7, t12)
    t20 = 1.0 - t19
    t21 = divide(c6, t20)
    t22 = float32(t21)
    for c in range(first, last):
        start = c * n1
        stop = min(start + n1, n0)
        for i in range(start, stop):
            t0 = x0[i]
            t1 = t0 * c0
            t2 = x1[i]
            t3 = t2 * c1
            t4 = t1 + t3
            out0[i] = t4
            t5 = x2[i]
            t6 = t5 * c2
            t7 = t2 * t2
            t8 = t7 * c3
            t9 = t6 + t8
            out1[i] = t9
            t10 = sqrt(t9)
            t17 = divide(t10, t16)
            t18 = t17 + c5
            t23 = t4 * t22
            t24 = divide(t23, t18)
            t25 = x3[i]
            t26 = t25 - t24
            out2[i] = t26


@kernel
def k1_parts_HASH_(first, last, table):
    for part in range(table[2]):
        start = table[3 + 2 * part]
        begin = max(first, start)
        end = min(last, table[5 + 2 * part])
        if begin < end:
            k1_HASH_(begin - start, end - start, buffer_offset(table, table[4 + 2 * part]))


@entry("float32[::1]", "float32[:, :, :, ::1]", "float32[::1]", "float32[:, :, :, ::1]", "float32[::1]", "float32[:, ::1]", "int64", "float32[::1]", "float32[:, :, :, ::1]", "float32[::1]", "float32[:, :, :, ::1]", "float32[::1]", "float32[:, ::1]", "float32[::1]", "float32[:, :, :, ::1]", "float32[::1]", "float32[:, :, :, ::1]", "float32[::1]", "float32[:, ::1]", "float32[::1]", "float32[:, :, :, ::1]", "float32[::1]", "float32[:, :, :, ::1]", "float32[::1]", "float32[:, ::1]", "float32[::1]", "float32[:, :, :, ::1]", "float32[::1]", "float32[:, :, :, ::1]", "float32[::1]", "float32[:, ::1]", "int64[::1]", "float32[::1]", "float32[:, :, :, ::1]", "float32[::1]", "float32[:, :, :, ::1]", "float32[::1]", "float32[:, ::1]", "float32[::1]", "float32[:, :, :, ::1]", "float32[::1]", "float32[:, :, :, ::1]", "float32[::1]", "float32[:, ::1]", "uint8[::1]", "int64[::1]")
def run_HASH_(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19, a20, a21, a22, a23, a24, out0, out1, out2, out3, out4, out5, out6, out7, out8, out9, out10, out11, out12, out13, out14, out15, out16, out17, out18, arena, plan):
    table = stack_table(plan, 140)
    place_scalar(table, 2, a6)
    place(table, 3, out6)
    launch(k0_HASH_, table, 0)
    place(table, 8, a7)
    place(table, 10, a0)
    place(table, 12, out7)
    place(table, 13, a13)
    place(table, 16, out13)
    place_scalar(table, 18, a6)
    place(table, 22, a19)
    place(table, 23, out0)
    place(table, 28, a8)
    place(table, 30, a1)
    place(table, 32, out8)
    place(table, 33, a14)
    place(table, 36, out14)
    place_scalar(table, 38, a6)
    place(table, 42, a20)
    place(table, 43, out1)
    place(table, 48, a9)
    place(table, 50, a2)
    place(table, 52, out9)
    place(table, 53, a15)
    place(table, 56, out15)
    place_scalar(table, 58, a6)
    place(table, 62, a21)
    place(table, 63, out2)
    place(table, 68, a10)
    place(table, 70, a3)
    place(table, 72, out10)
    place(table, 73, a16)
    place(table, 76, out16)
    place_scalar(table, 78, a6)
    place(table, 82, a22)
    place(table, 83, out3)
    place(table, 88, a11)
    place(table, 90, a4)
    place(table, 92, out11)
    place(table, 93, a17)
    place(table, 96, out17)
    place_scalar(table, 98, a6)
    place(table, 102, a23)
    place(table, 103, out4)
    place(table, 108, a12)
    place(table, 110, a5)
    place(table, 112, out12)
    place(table, 113, a18)
    place(table, 116, out18)
    place_scalar(table, 118, a6)
    place(table, 122, a24)
    place(table, 123, out5)
    launch(k1_parts_HASH_, table, 124)
