module zillions/impls/go-cond

go 1.19
