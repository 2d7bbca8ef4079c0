from tracegrad.runtime.arena import ALIGNMENT, ArenaPool


def test_blocks_are_aligned_and_large_enough():
    pool = ArenaPool()
    for nbytes in (0, 1, 63, 64, 65, 10_000):
        block = pool.borrow(nbytes)
        assert block.nbytes >= nbytes
        assert block.ctypes.data % ALIGNMENT == 0
        assert block.flags.c_contiguous


def test_a_given_back_block_is_lent_again_where_it_is_large_enough():
    pool = ArenaPool()
    small = pool.borrow(100)
    pool.give_back(small)
    assert pool.borrow(100) is small
    pool.give_back(small)
    assert pool.borrow(101) is not small


def test_nested_borrowers_hold_different_blocks():
    pool = ArenaPool()
    with pool.lent(64) as outer, pool.lent(64) as inner:
        outer[:] = 1
        inner[:] = 2
        assert (outer == 1).all()


def test_no_more_blocks_are_kept_than_asked_for():
    pool = ArenaPool(keep=1)
    first, second = pool.borrow(8), pool.borrow(8)
    pool.give_back(first)
    pool.give_back(second)
    assert pool.borrow(8) is first
    assert pool.borrow(8) is not second
