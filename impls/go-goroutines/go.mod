module zillions/impls/go-goroutines

go 1.19
